//! A cluster that answers queries in this process' stead.

use std::str::FromStr;
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::runtime::Runtime;

use crate::CorpusError;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Where relational work is done, if not by this process alone: by Apache Ballista, with the feature `ballista`.
///
/// A cluster reads the corpus and the tables of the work folder by their paths, which must lead to the same files on all
/// its machines. What it answers is written here, so that files are the same as without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// A scheduler and an executor in this process.
    InProcess,
    /// The scheduler at `df://host:port`.
    At(String),
}

impl FromStr for Cluster {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("df://") {
            Some(host)
                if host
                    .rsplit_once(':')
                    .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) =>
            {
                Ok(Self::At(text.to_owned()))
            }
            None if text == "in-process" => Ok(Self::InProcess),
            _ => Err("expected df://HOST:PORT or in-process, such as df://localhost:50050".to_owned()),
        }
    }
}

impl Cluster {
    /// The error of a step that it did not do.
    pub(super) fn failed(&self, step: &str, source: BoxedError) -> CorpusError {
        let address = match self {
            Self::InProcess => "in-process",
            Self::At(address) => address,
        };
        CorpusError::Cluster { address: address.to_owned(), step: step.to_owned(), source }
    }

    /// Sessions whose queries it answers, one a configuration.
    #[cfg(feature = "ballista")]
    pub(super) fn contexts(
        &self,
        configs: [SessionConfig; 2],
        environment: &Arc<RuntimeEnv>,
        runtime: &Runtime,
    ) -> Result<[SessionContext; 2], CorpusError> {
        use ballista::prelude::{SessionConfigExt, SessionContextExt};
        use datafusion::execution::SessionStateBuilder;

        if let Self::At(address) = self {
            let host = address.trim_start_matches("df://");
            std::net::TcpStream::connect(host).map_err(|error| self.failed("connecting", error.into()))?;
        }
        let [first, second] = configs.map(|own| {
            // What Ballista would rather have comes first, what is wanted here after it.
            let mut config = own.clone().upgrade_for_ballista();
            config.options_mut().execution = own.options().execution.clone();
            config.options_mut().sql_parser = own.options().sql_parser.clone();
            config.options_mut().optimizer.prefer_hash_join = own.options().optimizer.prefer_hash_join;
            config
        });
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(first)
            .with_runtime_env(environment.clone())
            .build();
        let context = runtime.block_on(async {
            match self {
                Self::InProcess => SessionContext::standalone_with_state(state).await,
                Self::At(address) => SessionContext::remote_with_state(address, state).await,
            }
        });
        let context = context.map_err(|error| self.failed("connecting", error.into()))?;
        let merging = SessionStateBuilder::new_from_existing(context.state()).with_config(second);
        let merging = SessionContext::new_with_state(merging.build());
        Ok([context, merging])
    }

    /// Sessions whose queries it answers: none, without the feature `ballista`.
    #[cfg(not(feature = "ballista"))]
    pub(super) fn contexts(
        &self,
        _: [SessionConfig; 2],
        _: &Arc<RuntimeEnv>,
        _: &Runtime,
    ) -> Result<[SessionContext; 2], CorpusError> {
        Err(self.failed(
            "connecting",
            "this userprint was built without clusters; build it with `--features ballista`".into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_they_are_written() {
        assert_eq!("in-process".parse(), Ok(Cluster::InProcess));
        assert_eq!("df://node:50050".parse(), Ok(Cluster::At("df://node:50050".to_owned())));
        for wrong in ["", "node:50050", "df://node", "df://:50050", "df://node:port", "http://node:50050"] {
            assert!(wrong.parse::<Cluster>().is_err(), "{wrong}");
        }
    }
}
