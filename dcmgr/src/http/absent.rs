//! Verbs of the original that no agent can do yet: each answers 501 with its code.
//!
//! Rule: `schema/not_implemented.txt` lists them, and what of other verbs answers 501 too; tests hold the list true.

use super::answer::{Answer, Refused};
use super::asked::Asked;
use arame_schema::api::{Code, Nothing, Refusal};

fn absent(verb: &str) -> Refused {
    Refused(Refusal::new(Code::NotImplemented).with("what", verb))
}

macro_rules! absent {
    ($($name:ident $method:ident $word:literal $path:literal;)*) => {
        /// Method and path of each.
        #[cfg(test)]
        pub const ALL: &[(&str, &str)] = &[$(($word, $path)),*];

        $(
            /// Not possible yet.
            #[utoipa::path($method, path = $path, tag = "not yet",
                responses((status = 501, body = arame_schema::api::ErrorBody)))]
            pub async fn $name(_: Asked) -> Answer<Nothing> {
                Err(absent(concat!($word, " ", $path)))
            }
        )*
    };
}

absent! {
    back_up_instance put "PUT" "/instances/{id}/backup";
    back_up_volume_of_instance put "PUT" "/instances/{id}/volumes/{volume}/backup";
    copy_image put "PUT" "/images/{id}/copy_to";
    back_up_volume put "PUT" "/volumes/{id}/backup";
    copy_backup put "PUT" "/backup_objects/{id}/copy_to";
    add_external_address post "POST" "/network_vifs/{id}/external_ip";
    remove_external_address delete "DELETE" "/network_vifs/{id}/external_ip";
}
