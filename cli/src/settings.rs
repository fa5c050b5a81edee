//! Where the API is and who asks: from flags, the environment, the login and the folder of `arame up`, in this order.
//!
//! Rule: a token is read from a file only its owner can read, or from the environment; never from an argument, which
//! every process of the machine can see.

use crate::failure::{CliError, USAGE};
use crate::login::{self, Login};
use crate::words::{self, Message, say};
use arame_schema::api::Language;
use clap::Args;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where the API is when nothing says otherwise: the port of `arame up`.
pub const DEFAULT_URL: &str = "http://127.0.0.1:9001";

/// Flags of every command that talks to the API.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection and output / 接続と出力")]
pub struct Common {
    /// Folder of the data center that `arame up` made / データセンターのフォルダー [default: ./var]
    #[arg(long, global = true, env = "ARAME_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// URL of the API / API の URL [default: that of --dir, else http://127.0.0.1:9001]
    #[arg(long, global = true, env = "ARAME_URL", value_name = "URL")]
    pub url: Option<String>,
    /// File with the token, mode 0600 / トークンのファイル [default: tokens/demo in --dir]
    #[arg(long, global = true, env = "ARAME_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Whose token of --dir is used, such as demo or admin / どのトークンを使うか
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub token_name: Option<String>,
    /// Act for this account, or `all` / 操作するアカウント
    #[arg(long, global = true, env = "ARAME_ACCOUNT", value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// ja or en / 表示言語 [default: by LC_ALL, LANG]
    #[arg(long, global = true, value_name = "LANG", value_parser = parse_language)]
    pub lang: Option<Language>,
    /// Print JSON / JSON で出力する
    #[arg(long, global = true)]
    pub json: bool,
}

fn parse_language(text: &str) -> Result<Language, String> {
    Language::from_tag(text).ok_or_else(|| "ja | en".into())
}

/// Whose work a command usually is: which token of the folder it takes when none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usually {
    Tenant,
    Operator,
}

/// What a client needs.
#[derive(Clone)]
pub struct Settings {
    pub url: String,
    pub token: String,
    pub account: Option<String>,
    pub language: Language,
    pub dir: PathBuf,
}

impl Common {
    pub fn language(&self) -> Language {
        self.lang.unwrap_or_else(|| words::language_of(|name| std::env::var(name).ok()))
    }

    pub fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| PathBuf::from("var"))
    }

    /// The login counts when no flag and no variable names something else.
    fn login(&self) -> Option<Login> {
        let named = self.dir.is_some() || self.token_file.is_some() || self.token_name.is_some();
        if named { None } else { login::read(&login::path()?) }
    }

    pub fn settings(&self, usually: Usually) -> Result<Settings, CliError> {
        let (dir, language) = (self.dir(), self.language());
        let given = std::env::var("ARAME_TOKEN").ok().filter(|token| !token.is_empty());
        let given = given.filter(|_| self.token_file.is_none() && self.token_name.is_none());
        let login = if given.is_none() { self.login() } else { None };
        let (token, told) = match (given, login) {
            (Some(token), _) => (token, None),
            // A token goes only where it was given for.
            (None, Some(login)) if self.url.as_ref().is_none_or(|url| url.trim_end_matches('/') == login.url) => {
                (login.token, Some(login.url))
            }
            (None, _) => (read_token(&self.token_path(&dir, usually), language)?, None),
        };
        let url = told.unwrap_or_else(|| self.address(&dir));
        Ok(Settings { url, token, account: self.account.clone(), language, dir })
    }

    /// For a command that makes the login.
    pub fn without_token(&self) -> Settings {
        let (dir, language) = (self.dir(), self.language());
        let url = self.address(&dir);
        Settings { url, token: String::new(), account: self.account.clone(), language, dir }
    }

    fn address(&self, dir: &Path) -> String {
        let told = || std::fs::read_to_string(dir.join("run/api-url")).ok().map(|text| text.trim().to_owned());
        let url = self.url.clone().or_else(told).unwrap_or_else(|| DEFAULT_URL.into());
        url.trim_end_matches('/').to_owned()
    }

    fn token_path(&self, dir: &Path, usually: Usually) -> PathBuf {
        let tokens = dir.join("tokens");
        match (&self.token_file, &self.token_name, usually) {
            (Some(file), _, _) => file.clone(),
            (None, Some(name), _) => tokens.join(name),
            (None, None, Usually::Operator) if tokens.join("admin").exists() => tokens.join("admin"),
            (None, None, _) => tokens.join("demo"),
        }
    }
}

/// Reads a token. A file that others can read is refused: it is no secret any more.
fn read_token(path: &Path, language: Language) -> Result<String, CliError> {
    let shown = path.display().to_string();
    let missing = |source: std::io::Error| {
        let sentence = say(language, Message::NoToken, &[("path", &shown)]);
        CliError::because(USAGE, sentence, source, words::word(language, Message::NoTokenNext).into())
    };
    let mode = std::fs::metadata(path).map_err(missing)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let mode = format!("{mode:04o}");
        let words = [Message::OpenToken, Message::OpenTokenCause, Message::OpenTokenNext];
        return Err(CliError::own(USAGE, language, words, &[("path", &shown), ("mode", &mode)]));
    }
    Ok(std::fs::read_to_string(path).map_err(missing)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    fn token(dir: &Path, name: &str, mode: u32) {
        let path = dir.join("tokens").join(name);
        fs::create_dir_all(dir.join("tokens")).unwrap();
        fs::write(&path, format!("secret-of-{name}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    fn common(dir: &Path) -> Common {
        Common { dir: Some(dir.to_owned()), lang: Some(Language::En), ..Common::default() }
    }

    #[test]
    fn the_token_of_the_folder_is_chosen_by_whose_work_it_is() {
        let dir = tempfile::tempdir().unwrap();
        token(dir.path(), "demo", 0o600);
        let taken = |common: &Common, usually| common.settings(usually).unwrap().token;
        assert_eq!(taken(&common(dir.path()), Usually::Operator), "secret-of-demo");
        token(dir.path(), "admin", 0o600);
        assert_eq!(taken(&common(dir.path()), Usually::Operator), "secret-of-admin");
        assert_eq!(taken(&common(dir.path()), Usually::Tenant), "secret-of-demo");
        let chosen = Common { token_name: Some("admin".into()), ..common(dir.path()) };
        assert_eq!(taken(&chosen, Usually::Tenant), "secret-of-admin");
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        token(dir.path(), "demo", 0o644);
        let Err(refused) = common(dir.path()).settings(Usually::Tenant) else { panic!("it was taken") };
        assert_eq!(refused.status(), USAGE);
        assert!(refused.told(Language::En).contains("0644"), "{}", refused.told(Language::En));
        token(dir.path(), "demo", 0o600);
        assert!(common(dir.path()).settings(Usually::Tenant).is_ok());
    }

    #[test]
    fn the_url_comes_from_the_flag_then_the_folder_then_the_default() {
        let dir = tempfile::tempdir().unwrap();
        token(dir.path(), "demo", 0o600);
        let url = |common: &Common| common.settings(Usually::Tenant).unwrap().url;
        assert_eq!(url(&common(dir.path())), DEFAULT_URL);
        fs::create_dir_all(dir.path().join("run")).unwrap();
        fs::write(dir.path().join("run/api-url"), "http://127.0.0.1:9999/\n").unwrap();
        assert_eq!(url(&common(dir.path())), "http://127.0.0.1:9999");
        let flagged = Common { url: Some("http://h:1".into()), ..common(dir.path()) };
        assert_eq!(url(&flagged), "http://h:1");
    }
}
