//! Reads a `Range` header. Rule: what is not one plain byte range is answered with the whole (RFC 9110 section 14.2
//! lets a server ignore ranges); a range outside the image is answered 416.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Whole,
    /// Both included.
    Part {
        first: u64,
        last: u64,
    },
    /// Nothing of it exists.
    Nothing,
}

pub fn parse(header: &str, length: u64) -> Wanted {
    let Some(set) = header.trim().strip_prefix("bytes=") else { return Wanted::Whole };
    let Some((first, last)) = set.trim().split_once('-') else { return Wanted::Whole };
    let end = length.saturating_sub(1);
    match (number(first), number(last)) {
        (Number::Is(first), _) if first >= length => Wanted::Nothing,
        (Number::Is(first), Number::Absent) => Wanted::Part { first, last: end },
        (Number::Is(first), Number::Is(last)) if first <= last => Wanted::Part { first, last: last.min(end) },
        (Number::Absent, Number::Is(0)) => Wanted::Nothing,
        (Number::Absent, Number::Is(_)) if length == 0 => Wanted::Nothing,
        (Number::Absent, Number::Is(count)) => Wanted::Part { first: length.saturating_sub(count), last: end },
        _ => Wanted::Whole,
    }
}

enum Number {
    Absent,
    Is(u64),
    Wrong,
}

fn number(text: &str) -> Number {
    let text = text.trim();
    if text.is_empty() {
        return Number::Absent;
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Number::Wrong;
    }
    // More digits than a length can have: as far as one can go.
    Number::Is(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let part = |first, last| Wanted::Part { first, last };
        let cases = [
            ("bytes=0-0", part(0, 0)),
            ("bytes=0-99", part(0, 99)),
            ("bytes=10-", part(10, 99)),
            ("bytes=-10", part(90, 99)),
            ("bytes=-1000", part(0, 99)),
            ("bytes=50-1000", part(50, 99)),
            ("bytes=99-99999999999999999999999", part(99, 99)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=100-200", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("", Wanted::Whole),
        ];
        for (header, wanted) in cases {
            assert_eq!(parse(header, 100), wanted, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(parse("bytes=-5", 0), Wanted::Nothing);
    }
}
