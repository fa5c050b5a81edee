//! `arame up --seed FILE`: the file is applied as soon as the API answers, as `arame --as admin seed apply FILE` would.
//!
//! Rule: a seed that is refused stops nothing: what runs goes on, and the exit code says that it is not what the file says.

use super::layout::{Layout, Wish};
use crate::settings::Common;
use crate::{Streams, commands};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

pub async fn apply(layout: &Layout, wish: &Wish, file: &Path) -> ExitCode {
    let common = Common {
        dir: Some(layout.dir().to_owned()),
        url: Some(format!("http://{}", wish.listen)),
        token_file: Some(layout.token("admin")),
        ..Common::default()
    };
    let (mut out, mut remarks) = (std::io::stdout(), std::io::stderr());
    let terminal = remarks.is_terminal();
    let streams = Streams { out: &mut out, remarks: &mut remarks, terminal };
    match crate::run(&common, commands::seed_of(file.to_owned()), streams).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", error.told(common.language()));
            ExitCode::from(error.status())
        }
    }
}
