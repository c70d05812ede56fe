//! The log-likelihood over the text's length after zlib.

use userprint_core::Detail;

use crate::{Evidence, Needs, Statistic};

/// How likely the target finds the text for how compressible it is, nats per byte.
///
/// `log p_target(x) / zlib(x)`, with `zlib(x)` the bytes of the text after zlib: the compressor is a reference
/// that knows only repetition.
/// The paper ranks by perplexity over entropy, lower for trained on; here higher means held-in.
///
/// # Reference
/// Carlini et al., arXiv:2012.07805.
#[derive(Clone, Copy, Debug)]
pub struct ZlibRatio;

impl Statistic for ZlibRatio {
    fn name(&self) -> String {
        "zlib_ratio".to_owned()
    }

    fn needs(&self) -> Needs {
        Needs { zlib_bytes: true, ..Needs::target(Detail::Total) }
    }

    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
        let bytes = evidence.zlib_bytes?.get(evidence.row).copied().filter(|&bytes| bytes > 0)?;
        Some(evidence.target_log_likelihood()? / f64::from(bytes))
    }
}
