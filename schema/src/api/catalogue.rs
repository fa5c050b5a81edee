//! The one catalogue of texts: every refusal, failure, event, finding and change, in Japanese and English.
//!
//! Rule: every [`Code`] has an entry (no wildcard), every text stands in both languages with the same `{places}`; tests
//! below hold this. Nothing here is chosen by the reader's language: the caller asks for one.

/// A table of sentences: code, Japanese, English.
macro_rules! sentences {
    ($($code:literal: $ja:literal, $en:literal;)*) => {
        &[$(Sentence { code: $code, ja: $ja, en: $en }),*]
    };
}

mod changes;
mod events;
mod failures;
mod findings;
mod forecasts;
mod paths;
mod refusals;
mod rules;
mod silences;

use super::{Code, Language};
use std::collections::BTreeMap;

pub use changes::change;
pub use events::event;
pub use failures::failure;
pub use findings::{finding_kind, finding_rule};
pub use forecasts::forecast;
pub use paths::path;
pub use refusals::refusal;
pub use rules::placement_rule;
pub use silences::silence;

/// What is said of a refusal or a failure, in one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    pub sentence: &'static str,
    /// 原因
    pub cause: &'static str,
    /// 対処
    pub next_step: &'static str,
}

/// A refusal: our code, the original's class, number and a correct HTTP status, and the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalEntry {
    /// Our stable word for it, `reason` in the error body.
    pub wire: &'static str,
    /// The original's class, without its module.
    pub class: &'static str,
    /// The original's number.
    pub number: u16,
    /// HTTP status: the original's, but 4xx where the original answered 500 for a user's mistake.
    pub status: u16,
    pub ja: Words,
    pub en: Words,
}

impl RefusalEntry {
    pub fn words(&self, language: Language) -> Words {
        match language {
            Language::Ja => self.ja,
            Language::En => self.en,
        }
    }
}

/// A failure of work, by the code an agent or dcmgr gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureEntry {
    /// Codes that mean the same to a person.
    pub codes: &'static [&'static str],
    pub ja: Words,
    pub en: Words,
}

impl FailureEntry {
    pub fn words(&self, language: Language) -> Words {
        match language {
            Language::Ja => self.ja,
            Language::En => self.en,
        }
    }
}

/// One sentence under a code: events, findings, changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentence {
    pub code: &'static str,
    pub ja: &'static str,
    pub en: &'static str,
}

impl Sentence {
    pub fn text(&self, language: Language) -> &'static str {
        match language {
            Language::Ja => self.ja,
            Language::En => self.en,
        }
    }
}

/// Fills the `{name}` places of a sentence. A place without a value stays visible as `?`, which is better than a
/// sentence that hides that something is not known.
pub fn fill<K: AsRef<str> + Ord, V: AsRef<str>>(sentence: &str, values: &BTreeMap<K, V>) -> String {
    let mut text = String::with_capacity(sentence.len() + 32);
    let mut rest = sentence;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        let Some(length) = rest[open..].find('}') else {
            text.push_str(&rest[open..]);
            return text;
        };
        let name = &rest[open + 1..open + length];
        let value = values.iter().find(|(key, _)| key.as_ref() == name);
        text.push_str(value.map_or("?", |(_, value)| value.as_ref()));
        rest = &rest[open + length + 1..];
    }
    text.push_str(rest);
    text
}

/// The words of a refusal with its values filled in.
pub fn told(refusal: &super::Refusal, language: Language) -> Told {
    let words = self::refusal(refusal.code).words(language);
    Told {
        sentence: fill(words.sentence, &refusal.values),
        cause: fill(words.cause, &refusal.values),
        next_step: fill(words.next_step, &refusal.values),
    }
}

/// [`Words`] with their places filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub sentence: String,
    pub cause: String,
    pub next_step: String,
}

/// Whether a failure's code has words of its own.
pub fn knows_failure(code: &str) -> bool {
    !std::ptr::eq(failure(code), &failures::GENERIC)
}

/// The refusal with this `reason` on the wire.
pub fn code_of(wire: &str) -> Option<Code> {
    Code::ALL.into_iter().find(|code| refusal(*code).wire == wire)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{FindingKind, FindingRule};
    use std::collections::BTreeSet;

    /// (where, Japanese, English) of every text there is.
    fn all_texts() -> Vec<(String, &'static str, &'static str)> {
        let mut texts = Vec::new();
        let mut words = |name: &str, ja: Words, en: Words| {
            texts.push((format!("{name} sentence"), ja.sentence, en.sentence));
            texts.push((format!("{name} cause"), ja.cause, en.cause));
            texts.push((format!("{name} next step"), ja.next_step, en.next_step));
        };
        for code in Code::ALL {
            let entry = refusal(code);
            words(entry.wire, entry.ja, entry.en);
        }
        for entry in failures::ALL.iter().chain([&failures::GENERIC]) {
            words(entry.codes[0], entry.ja, entry.en);
        }
        let kinds = FindingKind::ALL.map(finding_kind);
        let finding_rules = FindingRule::ALL.map(finding_rule);
        let sentences = events::ALL.iter().chain(changes::ALL).chain([&changes::GENERIC]).chain(rules::ALL);
        let sentences = sentences.chain(silences::ALL).chain(forecasts::ALL).chain(paths::ALL);
        for entry in sentences.chain(kinds.iter()).chain(finding_rules.iter()) {
            texts.push((entry.code.to_owned(), entry.ja, entry.en));
        }
        texts
    }

    fn places(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }

    fn is_japanese(text: &str) -> bool {
        text.chars().any(|c| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}'))
    }

    #[test]
    fn every_text_stands_in_both_languages() {
        for (name, ja, en) in all_texts() {
            assert!(!en.trim().is_empty(), "{name}: no English text");
            assert!(!ja.trim().is_empty(), "{name}: no Japanese text");
            assert!(is_japanese(ja), "{name}: the Japanese text holds neither kana nor kanji: {ja}");
            assert!(!is_japanese(en), "{name}: the English text holds Japanese: {en}");
        }
    }

    #[test]
    fn both_languages_speak_of_the_same_values() {
        for (name, ja, en) in all_texts() {
            assert_eq!(places(ja), places(en), "{name}: {ja} / {en}");
        }
    }

    #[test]
    fn every_code_stands_once() {
        let mut seen = BTreeSet::new();
        for code in Code::ALL {
            assert!(seen.insert(refusal(code).wire), "{} twice", refusal(code).wire);
            assert_eq!(code_of(refusal(code).wire), Some(code));
        }
        for list in [events::ALL, changes::ALL, rules::ALL, silences::ALL, forecasts::ALL, paths::ALL] {
            let codes: BTreeSet<_> = list.iter().map(|entry| entry.code).collect();
            assert_eq!(codes.len(), list.len());
        }
        let codes: Vec<_> = failures::ALL.iter().flat_map(|entry| entry.codes).collect();
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
    }

    #[test]
    fn every_status_tells_whose_mistake_it_is() {
        for code in Code::ALL {
            let entry = refusal(code);
            let ours = matches!(
                code,
                Code::Internal
                    | Code::Unavailable
                    | Code::HostSilent
                    | Code::NeverHeard
                    | Code::Recovering
                    | Code::NotImplemented
            );
            assert_eq!(entry.status >= 500, ours, "{}: {}", entry.wire, entry.status);
            assert!((400..=599).contains(&entry.status));
            assert!((100..=201).contains(&entry.number), "{}: {}", entry.wire, entry.number);
        }
    }

    #[test]
    fn places_are_filled_and_a_missing_value_shows() {
        let values = BTreeMap::from([("a", "1"), ("c", "{b}")]);
        assert_eq!(fill("{a} and {b}, {c} {", &values), "1 and ?, {b} {");
    }

    #[test]
    fn a_failure_the_catalogue_does_not_know_is_told_with_its_code_and_message() {
        use crate::api::{Failure, Localise};
        let mut strange = Failure::new("flux_capacitor").with("message", "too slow").with("agent", "hva.h1");
        strange.localise(Language::En);
        assert!(strange.sentence.contains("flux_capacitor"), "{}", strange.sentence);
        assert!(strange.cause.contains("too slow"), "{}", strange.cause);
        strange.localise(Language::Ja);
        assert!(is_japanese(&strange.sentence));
    }
}
