//! `zkonnx verify`: receipts, checked by the verifier crate and nothing else.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zkonnx_circuits::onnx::TailNode;
use zkonnx_verifier::{
    ClaimInput, InputVisibility, Receipt, VerifyError, VerifyingKey, verify as verify_one,
    verify_batch,
};

use super::args::VerifyArgs;
use super::style::seconds;
use super::values::{claim_json, claim_text, load_model, nodes_json, nodes_text};
use super::{Answer, Session};
use crate::artifact::{hex, read_receipt, read_verifying_key};
use crate::error::{Error, Exit};
use crate::keys::Keys;
use crate::measure::timed;

/// A verifying key and where it is from.
struct Candidate {
    key: VerifyingKey,
    /// Whether the key was derived from a model here, so that its program is a fact and not its claim.
    derived: bool,
    path: PathBuf,
    /// The nodes of the model that it does not prove, where a model is at hand.
    not_proved: Vec<TailNode>,
}

/// Why a receipt is rejected.
enum Verdict {
    Accepted,
    /// None of the keys is the one that the receipt names.
    NoKey,
    /// The key is not the expected one.
    OtherKey,
    /// A claim is about another program than the expected one.
    OtherProgram,
    /// A claim has another context than the expected one.
    OtherContext,
    /// The proof or its claims do not hold.
    Rejected(VerifyError),
}

impl Verdict {
    fn reason(&self) -> Option<String> {
        Some(match self {
            Self::Accepted => return None,
            Self::NoKey => "it names another verifying key than those given".to_owned(),
            Self::OtherKey => "its verifying key is not the one that --expect-vk names".to_owned(),
            Self::OtherProgram => {
                "it is about another program than the one that --expect-program names".to_owned()
            }
            Self::OtherContext => {
                "a claim has another context than the one that --expect-context names".to_owned()
            }
            Self::Rejected(error) => error.to_string(),
        })
    }
}

pub(super) fn verify(args: &VerifyArgs, session: &Session) -> Result<Answer, Error> {
    let receipts = args
        .receipts
        .iter()
        .map(|path| read_receipt(path))
        .collect::<Result<Vec<_>, _>>()?;
    let candidates = candidates(args, &receipts, session)?;
    let by_id: HashMap<[u8; 32], &Candidate> =
        candidates.iter().rev().map(|c| (*c.key.id(), c)).collect();
    let keys: Vec<Option<&Candidate>> = receipts
        .iter()
        .map(|receipt| by_id.get(receipt.vk_id()).copied())
        .collect();
    let mut verdicts: Vec<Verdict> = receipts
        .iter()
        .zip(&keys)
        .map(|(receipt, key)| expectations(args, receipt, key.is_some()))
        .collect();
    let cpu_s = check_proofs(&receipts, &keys, &mut verdicts, session)?;
    let accepted = verdicts
        .iter()
        .all(|verdict| matches!(verdict, Verdict::Accepted));
    let mut text = String::new();
    let mut entries = Vec::new();
    for (((path, receipt), key), verdict) in args
        .receipts
        .iter()
        .zip(&receipts)
        .zip(&keys)
        .zip(&verdicts)
    {
        text.push_str(&receipt_text(path, receipt, *key, verdict, session));
        entries.push(receipt_json(path, receipt, *key, verdict));
    }
    if receipts.len() > 1 {
        let good = verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Accepted))
            .count();
        text.push_str(&format!("{good} of {} receipts accepted\n", receipts.len()));
    }
    text.push_str(
        &session
            .style
            .dim(&format!("checked in {} of CPU", seconds(cpu_s))),
    );
    text.push('\n');
    let json = json!({"accepted": accepted, "verify_cpu_s": cpu_s, "receipts": entries});
    Ok(Answer {
        json,
        text,
        exit: if accepted { Exit::Yes } else { Exit::No },
    })
}

/// All keys that were given or can be derived.
fn candidates(
    args: &VerifyArgs,
    receipts: &[Receipt],
    session: &Session,
) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::new();
    // Derived keys first: what is known of them is more.
    for path in &args.model {
        let model = load_model(path)?;
        for visibility in [InputVisibility::Public, InputVisibility::Private] {
            if receipts
                .iter()
                .any(|receipt| visibility_of(receipt) == visibility)
            {
                let keys = Keys::generate(
                    model.program.clone(),
                    visibility,
                    &args.plan.options(),
                    &session.cache,
                    &session.progress,
                )?;
                candidates.push(Candidate {
                    key: keys.verifying,
                    derived: true,
                    path: path.clone(),
                    not_proved: model.tail().to_vec(),
                });
            }
        }
    }
    for path in &args.vk {
        candidates.push(Candidate {
            key: read_verifying_key(path)?,
            derived: false,
            path: path.clone(),
            not_proved: Vec::new(),
        });
    }
    Ok(candidates)
}

fn visibility_of(receipt: &Receipt) -> InputVisibility {
    match receipt.claims().first().map(|claim| claim.input()) {
        Some(ClaimInput::Private) => InputVisibility::Private,
        _ => InputVisibility::Public,
    }
}

/// What the caller demands beyond a valid proof.
fn expectations(args: &VerifyArgs, receipt: &Receipt, has_key: bool) -> Verdict {
    let claims = receipt.claims();
    if args.expect_vk.is_some_and(|id| id != *receipt.vk_id()) {
        Verdict::OtherKey
    } else if args
        .expect_program
        .is_some_and(|id| claims.iter().any(|claim| *claim.program_id() != id))
    {
        Verdict::OtherProgram
    } else if args
        .expect_context
        .is_some_and(|context| claims.iter().any(|claim| *claim.context() != context))
    {
        Verdict::OtherContext
    } else if has_key {
        Verdict::Accepted
    } else {
        Verdict::NoKey
    }
}

/// Checks the proofs of all receipts that are not rejected yet: one alone, several as a batch.
fn check_proofs(
    receipts: &[Receipt],
    keys: &[Option<&Candidate>],
    verdicts: &mut [Verdict],
    session: &Session,
) -> Result<f64, Error> {
    let open = receipts.iter().zip(keys).enumerate();
    let open = open.filter(|(index, _)| matches!(verdicts[*index], Verdict::Accepted));
    let items: Vec<(usize, (&VerifyingKey, &Receipt))> = open
        .filter_map(|(index, (receipt, key))| Some((index, (&(*key)?.key, receipt))))
        .collect();
    let Some(k) = items.iter().map(|(_, (key, _))| key.circuit().k()).max() else {
        return Ok(0.0);
    };
    let params = session.cache.verifier(k, &session.progress)?;
    session.progress.step("verifying");
    let (failures, cpu_s) = timed(|| match items.as_slice() {
        [(index, (key, receipt))] => verify_one(key, &params, receipt)
            .err()
            .map(|error| (*index, error))
            .into_iter()
            .collect(),
        many => {
            let batch: Vec<_> = many.iter().map(|(_, item)| *item).collect();
            let failures = verify_batch(&batch, &params)
                .err()
                .map_or(Vec::new(), |error| error.failures);
            failures
                .into_iter()
                .map(|(item, error)| (many[item].0, error))
                .collect::<Vec<_>>()
        }
    });
    for (index, error) in failures {
        verdicts[index] = Verdict::Rejected(error);
    }
    Ok(cpu_s)
}

fn receipt_text(
    path: &Path,
    receipt: &Receipt,
    key: Option<&Candidate>,
    verdict: &Verdict,
    session: &Session,
) -> String {
    let mut text = match verdict.reason() {
        None => format!("{} {}\n", session.style.good("accepted"), path.display()),
        Some(reason) => format!(
            "{} {}: {reason}\n",
            session.style.bad("rejected"),
            path.display()
        ),
    };
    text.push_str(&format!("key       {}\n", hex(receipt.vk_id())));
    if let Some(key) = key {
        let known = if key.derived {
            "derived from"
        } else {
            "its program is the claim of the key in"
        };
        text.push_str(&format!("  {known} {}\n", key.path.display()));
    }
    for claim in receipt.claims() {
        text.push_str(&claim_text(claim));
    }
    if let Some(key) = key {
        text.push_str(&nodes_text(&key.not_proved));
    }
    text
}

fn receipt_json(
    path: &Path,
    receipt: &Receipt,
    key: Option<&Candidate>,
    verdict: &Verdict,
) -> Value {
    json!({
        "receipt": path.display().to_string(),
        "accepted": verdict.reason().is_none(),
        "reason": verdict.reason(),
        "vk_id": hex(receipt.vk_id()),
        "program_derived": key.is_some_and(|key| key.derived),
        "claims": receipt.claims().iter().map(claim_json).collect::<Vec<_>>(),
        "not_proved": nodes_json(key.map_or(&[], |key| &key.not_proved)),
    })
}
