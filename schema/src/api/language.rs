//! The two languages of every text: Japanese and English.
//!
//! Rule: a text is chosen at the edge, when it is shown; rows and events hold codes and values. Choosing is pure: the
//! caller gives the header or the environment's value.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Ja,
    En,
}

impl Language {
    pub const ALL: [Language; 2] = [Language::Ja, Language::En];

    pub fn as_str(self) -> &'static str {
        match self {
            Language::Ja => "ja",
            Language::En => "en",
        }
    }

    /// From an `Accept-Language` header (RFC 9110 section 12.5.4): the tag with the highest weight that we speak.
    /// English when none is.
    pub fn from_accept(header: &str) -> Language {
        let mut best: Option<(f32, Language)> = None;
        for part in header.split(',').take(ACCEPTED_TAGS_MAX) {
            let mut pieces = part.split(';');
            let Some(language) = pieces.next().and_then(Language::from_tag) else { continue };
            let weight = pieces
                .find_map(|piece| piece.trim().strip_prefix("q="))
                .map_or(1.0, |q| q.trim().parse::<f32>().unwrap_or(0.0));
            if weight > 0.0 && best.is_none_or(|(heaviest, _)| weight > heaviest) {
                best = Some((weight, language));
            }
        }
        best.map_or(Language::En, |(_, language)| language)
    }

    /// From `LC_ALL`, `LC_MESSAGES` or `LANG` (`ja_JP.UTF-8`). English when it names neither.
    pub fn from_locale(locale: &str) -> Language {
        Language::from_tag(locale).unwrap_or(Language::En)
    }

    /// From a language tag or locale name: only its first subtag counts.
    pub fn from_tag(tag: &str) -> Option<Language> {
        let first = tag.trim().split(['-', '_', '.', '@']).next().unwrap_or("");
        Language::ALL.into_iter().find(|language| first.eq_ignore_ascii_case(language.as_str()))
    }
}

/// Tags of one header that are looked at: browsers send fewer than ten.
const ACCEPTED_TAGS_MAX: usize = 32;

/// Something that holds texts which follow from its codes: fills them in for one language.
pub trait Localise {
    fn localise(&mut self, language: Language);
}

impl<T: Localise> Localise for Vec<T> {
    fn localise(&mut self, language: Language) {
        self.iter_mut().for_each(|item| item.localise(language));
    }
}

impl<T: Localise> Localise for Option<T> {
    fn localise(&mut self, language: Language) {
        self.iter_mut().for_each(|item| item.localise(language));
    }
}

impl<T: Localise> Localise for super::Page<T> {
    fn localise(&mut self, language: Language) {
        self.results.localise(language);
    }
}

/// A view without texts of ours.
macro_rules! wordless {
    ($($view:ty),* $(,)?) => {
        $(impl $crate::api::Localise for $view {
            fn localise(&mut self, _: $crate::api::Language) {}
        })*
    };
}
pub(crate) use wordless;

wordless!(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_language_that_we_speak_is_chosen() {
        let cases = [
            ("ja", Language::Ja),
            ("ja-JP,ja;q=0.9,en;q=0.8", Language::Ja),
            ("en-US,en;q=0.9,ja;q=0.1", Language::En),
            ("fr, ja;q=0.5, en;q=0.4", Language::Ja),
            ("en;q=0.3, ja;q=0.7", Language::Ja),
            ("ja;q=0, en", Language::En),
            ("*", Language::En),
            ("", Language::En),
            (";;;q=,,", Language::En),
        ];
        for (header, wanted) in cases {
            assert_eq!(Language::from_accept(header), wanted, "{header}");
        }
    }

    #[test]
    fn a_locale_names_its_language_first() {
        assert_eq!(Language::from_locale("ja_JP.UTF-8"), Language::Ja);
        assert_eq!(Language::from_locale("C.UTF-8"), Language::En);
        assert_eq!(Language::from_locale(""), Language::En);
    }
}
