//! Refusals about the bytes of images, in words.
//!
//! Rule: as in the table above them, which names each of these for its code.

use crate::api::catalogue::{RefusalEntry, Words};

pub(super) fn upload_failed() -> RefusalEntry {
    entry!(
        "upload_failed",
        "InvalidImageID",
        137,
        400,
        (
            "イメージ {id} のアップロードは完了しませんでした。",
            "届いた内容が途中で切れたか、受け入れられないものでした: {reason}",
            "イメージは引き続きアップロードを待っています。原因を直して、初めから送り直してください。"
        ),
        (
            "The upload of image {id} did not come to its end.",
            "Its bytes broke off, or are not let in: {reason}",
            "The image waits for them still. Remove the cause and send them again from their begin."
        )
    )
}
