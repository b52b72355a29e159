//! Values that must not reach a log, an error or a printed configuration.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const HIDDEN: &str = "***";

/// An address with credentials in it, such as `postgres://user:password@host/database`.
///
/// `Debug`, `Display` and serde show scheme, user, host and path only; the password and every
/// query parameter are hidden. [`SecretUrl::expose`] is the only way to the whole text, so a
/// search for it finds every place that handles the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Wraps an address as it is; whether it can be used is for the one who connects to say.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole address, secrets included. Pass it to a driver, never to a log.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What stands before the first `:`, such as `postgres`; empty where there is none.
    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            // `sqlite::memory:` and the like; whatever follows the scheme may be anything.
            return match self.scheme() {
                "sqlite" => formatter.write_str(self.0.split('?').next().unwrap_or(HIDDEN)),
                _ => formatter.write_str(HIDDEN),
            };
        };
        write!(formatter, "{scheme}://")?;
        // The last `@` of the whole text: a password may hold unescaped `/`, `?` and `@`, and
        // hiding too much of an odd address is better than showing the tail of a password.
        let address = match rest.rsplit_once('@') {
            Some((credentials, address)) => {
                match credentials.split_once(':') {
                    Some((user, _)) => write!(formatter, "{user}:{HIDDEN}@")?,
                    // Without a `:` it may be a token as well as a user.
                    None => write!(formatter, "{HIDDEN}@")?,
                }
                address
            }
            None => rest,
        };
        match address.split_once(['?', '#']) {
            Some((visible, _)) => write!(formatter, "{visible}?{HIDDEN}"),
            None => formatter.write_str(address),
        }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretUrl({self})")
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_where_it_leads_and_hides_how_to_get_in() {
        let table = [
            (
                "postgres://anna:s3cret@db:5432/headway",
                "postgres://anna:***@db:5432/headway",
            ),
            ("postgres://anna@db/headway", "postgres://***@db/headway"),
            (
                "postgres://db/headway?password=s3cret&sslmode=require",
                "postgres://db/headway?***",
            ),
            (
                "amqp://guest:s3/cr?et@broker/%2f",
                "amqp://guest:***@broker/%2f",
            ),
            ("amqp://guest:s3@cret@broker", "amqp://guest:***@broker"),
            ("amqp://broker:5672", "amqp://broker:5672"),
            ("sqlite::memory:", "sqlite::memory:"),
            ("sqlite:jobs.db?key=s3cret", "sqlite:jobs.db"),
            ("s3cret", "***"),
            ("anna:s3cret@db/headway", "***"),
        ];
        for (url, shown) in table {
            assert_eq!(SecretUrl::new(url).to_string(), shown, "{url}");
            assert_eq!(
                format!("{:?}", SecretUrl::new(url)),
                format!("SecretUrl({shown})")
            );
        }
    }

    #[test]
    fn serde_writes_the_hidden_form_and_reads_the_whole() {
        let url: SecretUrl = serde_json::from_str("\"amqp://guest:s3cret@broker\"").unwrap();
        assert_eq!(url.expose(), "amqp://guest:s3cret@broker");
        assert_eq!(
            serde_json::to_string(&url).unwrap(),
            "\"amqp://guest:***@broker\""
        );
    }

    proptest! {
        /// Digits mark the password; nothing else in the address has any.
        #[test]
        fn no_character_of_a_password_is_shown(password in "[0-9]{1,3}([0-9:/?#@%&= ]{0,12})[0-9]") {
            let shown = SecretUrl::new(format!("postgres://anna:{password}@db/headway")).to_string();
            prop_assert_eq!(shown, "postgres://anna:***@db/headway");
        }
    }
}
