//! Why a broker's certificate is not believed, in words for whoever reads the status of a service.
//!
//! Rule: it is no reason to end: the certificate may be renewed, and the next attempt looks again, at the file of `ca_file` too.

use std::fmt;
use tokio_rustls::rustls::CertificateError;

/// Shown in English; [`Distrust::japanese`] is the same sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distrust {
    /// Nobody whom `ca_file` names has signed it.
    Signer,
    /// It is not for the name or address that is dialed.
    Name,
    Expired,
    NotYetValid,
    /// It is damaged, revoked, or not for a server.
    Form,
}

impl Distrust {
    /// What the check of a certificate ended with.
    pub(super) fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::Name,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Signer,
            // The library's own list, which it says will grow.
            _ => Self::Form,
        }
    }

    pub fn japanese(self) -> &'static str {
        match self {
            Self::Signer => {
                "ブローカーの証明書を信用できません: ca_file の認証局が署名していません。両方を確かめてください。接続は続けて試みます"
            }
            Self::Name => {
                "ブローカーの証明書を信用できません: 接続先の host とは別の名前のものです。host か証明書を直してください。接続は続けて試みます"
            }
            Self::Expired => {
                "ブローカーの証明書を信用できません: 有効期限が切れています。証明書を更新してください(またはこの機械の時計が進んでいます)。接続は続けて試みます"
            }
            Self::NotYetValid => {
                "ブローカーの証明書を信用できません: まだ有効期間に入っていません。この機械とブローカーの時計を確かめてください。接続は続けて試みます"
            }
            Self::Form => {
                "ブローカーの証明書を信用できません: 壊れているか、サーバー用ではありません。作り直してください。接続は続けて試みます"
            }
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self {
            Self::Signer => "nobody in ca_file has signed it; look at both",
            Self::Name => "it is for another name than the host that is dialed; correct the host, or the certificate",
            Self::Expired => "it has expired; renew it (or this machine's clock is ahead)",
            Self::NotYetValid => "it is not valid yet; look at the clocks of this machine and of the broker's",
            Self::Form => "it is damaged, or not for a server; make it anew",
        };
        write!(f, "the broker's certificate is not believed: {why}; trying on")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_told_apart_in_both_languages() {
        let all = [Distrust::Signer, Distrust::Name, Distrust::Expired, Distrust::NotYetValid, Distrust::Form];
        let told: std::collections::BTreeSet<_> = all.iter().map(|one| (one.to_string(), one.japanese())).collect();
        assert_eq!(told.len(), all.len());
        for (english, japanese) in told {
            assert!(english.is_ascii() && !japanese.is_ascii(), "{english} / {japanese}");
        }
        assert_eq!(Distrust::of(&CertificateError::UnknownIssuer), Distrust::Signer);
        assert_eq!(Distrust::of(&CertificateError::Revoked), Distrust::Form);
    }
}
