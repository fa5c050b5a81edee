//! The options of a message as they were on the wire, for people: code, name, value.
//!
//! Rule: it reads what a guest sent, so it takes any bytes: what ends too early ends the list, an unknown option or a value
//! of another length is shown in hexadecimal. Nothing is decided by it.

use arame_schema::jobs::nsa::why::WhyOption;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// Header, BOOTP's names and the magic cookie before the first option (RFC 2131).
const OPTIONS_AT: usize = 240;

/// Options of one message that are kept: a guest sends fewer than 20.
const OPTIONS_MAX: usize = 64;

/// Bytes of one value that are shown.
const VALUE_BYTES_MAX: usize = 128;

const PAD: u8 = 0;
const END: u8 = 255;

/// The bytes of a message's options, without what pads it.
pub fn of_message(message: &[u8]) -> Box<[u8]> {
    let options = message.get(OPTIONS_AT..).unwrap_or_default();
    let length = options.iter().rposition(|byte| *byte != PAD).map_or(0, |last| last + 1);
    options[..length].into()
}

/// What they say.
pub fn list(mut bytes: &[u8]) -> Vec<WhyOption> {
    let mut options = Vec::new();
    while let [code, rest @ ..] = bytes {
        if *code == PAD {
            bytes = rest;
            continue;
        }
        let [length, rest @ ..] = rest else { break };
        let Some((value, rest)) = rest.split_at_checked(usize::from(*length)) else { break };
        if *code == END || options.len() == OPTIONS_MAX {
            break;
        }
        let (name, form) = form(*code);
        options.push(WhyOption { code: *code, name: name.to_owned(), value: shown(form, value) });
        bytes = rest;
    }
    options
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Addresses,
    Number,
    Text,
    Codes,
    Type,
    Routes,
    Bytes,
}

/// Names and forms as RFC 2132, 3046, 3397, 3442, 4039 have them.
fn form(code: u8) -> (&'static str, Form) {
    match code {
        1 => ("subnet-mask", Form::Addresses),
        3 => ("router", Form::Addresses),
        6 => ("domain-name-server", Form::Addresses),
        12 => ("host-name", Form::Text),
        15 => ("domain-name", Form::Text),
        26 => ("interface-mtu", Form::Number),
        28 => ("broadcast-address", Form::Addresses),
        42 => ("ntp-server", Form::Addresses),
        50 => ("requested-address", Form::Addresses),
        51 => ("lease-time", Form::Number),
        53 => ("message-type", Form::Type),
        54 => ("server-identifier", Form::Addresses),
        55 => ("parameter-request-list", Form::Codes),
        56 => ("message", Form::Text),
        57 => ("max-message-size", Form::Number),
        58 => ("renewal-time", Form::Number),
        59 => ("rebinding-time", Form::Number),
        60 => ("vendor-class", Form::Text),
        61 => ("client-identifier", Form::Bytes),
        80 => ("rapid-commit", Form::Bytes),
        81 => ("client-fqdn", Form::Bytes),
        82 => ("relay-agent-information", Form::Bytes),
        119 => ("domain-search", Form::Bytes),
        121 => ("classless-static-routes", Form::Routes),
        _ => ("unknown", Form::Bytes),
    }
}

fn shown(form: Form, value: &[u8]) -> String {
    let known = match form {
        Form::Addresses => addresses(value),
        Form::Number => number(value).map(|number| number.to_string()),
        Form::Text => Some(String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).collect()),
        Form::Codes => Some(value.iter().map(u8::to_string).collect::<Vec<_>>().join(" ")),
        Form::Type => message_type(value).map(str::to_owned),
        Form::Routes => routes(value),
        Form::Bytes => None,
    };
    let mut text = known.unwrap_or_else(|| hexadecimal(value));
    if let Some((end, _)) = text.char_indices().nth(2 * VALUE_BYTES_MAX) {
        text.truncate(end);
    }
    text
}

fn addresses(value: &[u8]) -> Option<String> {
    let (whole, rest) = value.as_chunks::<4>();
    let texts: Vec<String> = whole.iter().map(|octets| Ipv4Addr::from(*octets).to_string()).collect();
    (rest.is_empty() && !texts.is_empty()).then(|| texts.join(" "))
}

fn number(value: &[u8]) -> Option<u32> {
    match *value {
        [byte] => Some(byte.into()),
        [high, low] => Some(u16::from_be_bytes([high, low]).into()),
        [a, b, c, d] => Some(u32::from_be_bytes([a, b, c, d])),
        _ => None,
    }
}

fn message_type(value: &[u8]) -> Option<&'static str> {
    let words = ["discover", "offer", "request", "decline", "ack", "nak", "release", "inform"];
    let [number] = *value else { return None };
    words.get(usize::from(number).checked_sub(1)?).copied()
}

/// RFC 3442: prefix length, as many octets as it needs, the router.
fn routes(mut value: &[u8]) -> Option<String> {
    let mut texts = Vec::new();
    while let [prefix, rest @ ..] = value {
        let octets = usize::from(*prefix).div_ceil(8);
        let (given, rest) = rest.split_at_checked(octets).filter(|_| *prefix <= 32)?;
        let (via, rest) = rest.split_first_chunk::<4>()?;
        let mut destination = [0; 4];
        destination[..octets].copy_from_slice(given);
        texts.push(format!("{}/{prefix} via {}", Ipv4Addr::from(destination), Ipv4Addr::from(*via)));
        value = rest;
    }
    Some(texts.join(", "))
}

fn hexadecimal(value: &[u8]) -> String {
    let mut text = String::with_capacity(2 * value.len());
    for byte in value.iter().take(VALUE_BYTES_MAX) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(bytes: &[u8]) -> Vec<String> {
        list(bytes).iter().map(|option| format!("{} {} {}", option.code, option.name, option.value)).collect()
    }

    #[test]
    fn each_form_is_shown_as_people_write_it() {
        let bytes = [
            &[53, 1, 3][..],
            &[50, 4, 10, 0, 0, 10],
            &[51, 4, 0, 0, 14, 16],
            &[12, 4, b'w', b'e', b'b', b'1'],
            &[0, 0, 55, 3, 1, 3, 121],
            &[121, 12, 16, 192, 168, 10, 0, 0, 1, 0, 10, 0, 0, 2],
            &[61, 2, 1, 0xab],
            &[255, 0, 0],
        ]
        .concat();
        let wanted = [
            "53 message-type request",
            "50 requested-address 10.0.0.10",
            "51 lease-time 3600",
            "12 host-name web1",
            "55 parameter-request-list 1 3 121",
            "121 classless-static-routes 192.168.0.0/16 via 10.0.0.1, 0.0.0.0/0 via 10.0.0.2",
            "61 client-identifier 01ab",
        ];
        assert_eq!(told(&bytes), wanted);
        assert_eq!(told(&[50, 4, 10, 0]), Vec::<String>::new(), "an end too early ends the list");
        assert_eq!(told(&[51, 3, 1, 2, 3]), ["51 lease-time 010203"]);
    }

    proptest! {
        #[test]
        fn any_bytes_of_a_guest_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            let options = list(&of_message(&bytes));
            prop_assert!(options.len() <= OPTIONS_MAX);
            prop_assert!(options.iter().all(|option| option.value.chars().count() <= 2 * VALUE_BYTES_MAX));
            list(&bytes);
        }
    }
}
