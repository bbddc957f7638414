//! `zkonnx verify`: receipts, checked by the verifier crate and nothing else.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zkonnx_onnx::TailNode;
use zkonnx_verifier::{
    ClaimInput, InputVisibility, Receipt, VerifyError, VerifyingKey, verify as verify_one,
    verify_batch,
};

use super::Session;
use super::answer::{Answer, error_object};
use super::args::VerifyArgs;
use super::style::seconds;
use super::values::{claim_json, claim_text, load_model, nodes_json, nodes_text};
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

/// What came of a receipt.
enum Verdict {
    Accepted,
    /// None of the keys is the one that the receipt names.
    NoKey,
    /// The same, but the key may be one that cannot be used.
    NoUsableKey,
    /// The key is not the expected one.
    OtherKey,
    /// A claim is about another program than the expected one.
    OtherProgram,
    /// A claim has another context than the expected one.
    OtherContext,
    /// The proof or its claims do not hold.
    Rejected(VerifyError),
    /// The file holds no receipt that can be read.
    Unreadable(String),
}

impl Verdict {
    /// The verdict in one word: nothing is known of a receipt that could not be checked.
    fn word(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::NoUsableKey | Self::Unreadable(_) => "unchecked",
            _ => "rejected",
        }
    }

    fn reason(&self) -> Option<String> {
        Some(match self {
            Self::Accepted => return None,
            Self::NoKey => "it names another verifying key than those given".to_owned(),
            Self::NoUsableKey => "its verifying key is none of those that can be used".to_owned(),
            Self::OtherKey => "its verifying key is not the one that --expect-vk names".to_owned(),
            Self::OtherProgram => {
                "it is about another program than the one that --expect-program names".to_owned()
            }
            Self::OtherContext => {
                "a claim has another context than the one that --expect-context names".to_owned()
            }
            Self::Rejected(error) => error.to_string(),
            Self::Unreadable(reason) => reason.clone(),
        })
    }
}

pub(super) fn verify(args: &VerifyArgs, session: &Session) -> Result<Answer, Error> {
    if let (Some(option), true) = (args.plan.given(), args.model.is_empty()) {
        return Err(Error::NotApplicable {
            option,
            why: "it plans the circuit of a key that --model derives, and every key was given"
                .into(),
        });
    }
    if args.model.is_empty() {
        args.dims
            .absent("it binds dimensions of a --model, and every key was given")?;
    }
    let read: Vec<Result<Receipt, Error>> = args
        .receipts
        .iter()
        .map(|path| read_receipt(path))
        .collect();
    let receipts: Vec<Option<&Receipt>> = read.iter().map(|read| read.as_ref().ok()).collect();
    let (candidates, unusable) = candidates(args, &receipts, session);
    let by_id: HashMap<[u8; 32], &Candidate> =
        candidates.iter().rev().map(|c| (*c.key.id(), c)).collect();
    let key_of = |receipt: &Receipt| by_id.get(receipt.vk_id()).copied();
    let mut checks: Vec<Check<'_>> = args
        .receipts
        .iter()
        .zip(&read)
        .map(|(path, read)| {
            let receipt = read.as_ref().ok();
            let key = receipt.and_then(key_of);
            let verdict = match read {
                Err(error) => Verdict::Unreadable(error.to_string()),
                Ok(receipt) => expectations(args, receipt, key.is_some(), !unusable.is_empty()),
            };
            Check {
                path,
                receipt,
                key,
                verdict,
            }
        })
        .collect();
    let cpu_s = check_proofs(&mut checks, session)?;
    let text = answer_text(&checks, cpu_s, session);
    let accepted = checks
        .iter()
        .all(|check| matches!(check.verdict, Verdict::Accepted));
    let entries = checks
        .iter()
        .zip(&read)
        .map(|(check, read)| check.json(read));
    let mut json = json!({
        "accepted": accepted,
        "verify_cpu_s": cpu_s,
        "receipts": entries.collect::<Vec<_>>(),
    });
    let errors: Vec<Error> = unusable
        .into_iter()
        .chain(read.into_iter().filter_map(Result::err))
        .collect();
    // What could not be checked at all weighs more than what was refused.
    let worst = errors.iter().max_by_key(|error| error.exit() as u8);
    let exit = match (worst, accepted) {
        (Some(error), _) => {
            json["error"] = error_object(error);
            error.exit()
        }
        (None, true) => Exit::Yes,
        (None, false) => Exit::No,
    };
    Ok(Answer {
        errors,
        ..Answer::new(json, text, exit)
    })
}

fn answer_text(checks: &[Check<'_>], cpu_s: f64, session: &Session) -> String {
    let mut text: String = checks.iter().map(|check| check.text(session)).collect();
    if checks.len() > 1 {
        let good = checks
            .iter()
            .filter(|check| matches!(check.verdict, Verdict::Accepted))
            .count();
        text.push_str(&format!("{good} of {} receipts accepted\n", checks.len()));
    }
    let time = format!("checked in {} of CPU", seconds(cpu_s));
    text.push_str(&session.style.dim(&time));
    text.push('\n');
    text
}

/// All keys that were given or can be derived, and why others cannot be used.
fn candidates(
    args: &VerifyArgs,
    receipts: &[Option<&Receipt>],
    session: &Session,
) -> (Vec<Candidate>, Vec<Error>) {
    let mut candidates = Vec::new();
    let mut unusable = Vec::new();
    // Derived keys first: what is known of them is more.
    for path in &args.model {
        match derived(path, args, receipts, session) {
            Ok(derived) => candidates.extend(derived),
            Err(error) => unusable.push(error),
        }
    }
    for path in &args.vk {
        match read_verifying_key(path) {
            Ok(key) => candidates.push(Candidate {
                key,
                derived: false,
                path: path.clone(),
                not_proved: Vec::new(),
            }),
            Err(error) => unusable.push(error),
        }
    }
    (candidates, unusable)
}

/// The keys of a model, for the visibilities that receipts have.
fn derived(
    path: &Path,
    args: &VerifyArgs,
    receipts: &[Option<&Receipt>],
    session: &Session,
) -> Result<Vec<Candidate>, Error> {
    let model = load_model(path, &args.dims)?;
    let visibilities = [InputVisibility::Public, InputVisibility::Private];
    let wanted = visibilities.into_iter().filter(|visibility| {
        let mut receipts = receipts.iter().flatten();
        receipts.any(|receipt| visibility_of(receipt) == *visibility)
    });
    wanted
        .map(|visibility| {
            let keys = Keys::generate(
                model.program.clone(),
                visibility,
                &args.plan.options(),
                &session.cache,
                &session.progress,
            )?;
            Ok(Candidate {
                key: keys.verifying,
                derived: true,
                path: path.into(),
                not_proved: model.tail().to_vec(),
            })
        })
        .collect()
}

fn visibility_of(receipt: &Receipt) -> InputVisibility {
    let inputs = receipt.claims().first().map(|claim| claim.inputs());
    let private = |input: &ClaimInput| matches!(input, ClaimInput::Private);
    if inputs.is_some_and(|inputs| inputs.iter().any(private)) {
        InputVisibility::Private
    } else {
        InputVisibility::Public
    }
}

/// What the caller demands beyond a valid proof.
fn expectations(args: &VerifyArgs, receipt: &Receipt, has_key: bool, unusable: bool) -> Verdict {
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
    } else if unusable {
        Verdict::NoUsableKey
    } else {
        Verdict::NoKey
    }
}

/// Checks the proofs of all receipts that are not rejected yet: one alone, several as a batch.
fn check_proofs(checks: &mut [Check<'_>], session: &Session) -> Result<f64, Error> {
    let open = checks.iter().enumerate();
    let open = open.filter(|(_, check)| matches!(check.verdict, Verdict::Accepted));
    let items: Vec<(usize, (&VerifyingKey, &Receipt))> = open
        .filter_map(|(index, check)| Some((index, (&check.key?.key, check.receipt?))))
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
        checks[index].verdict = Verdict::Rejected(error);
    }
    Ok(cpu_s)
}

/// A file that should hold a receipt, and what came of it.
struct Check<'a> {
    path: &'a Path,
    receipt: Option<&'a Receipt>,
    key: Option<&'a Candidate>,
    verdict: Verdict,
}

impl Check<'_> {
    fn text(&self, session: &Session) -> String {
        let word = match self.verdict {
            Verdict::Accepted => session.style.good(self.verdict.word()),
            _ => session.style.bad(self.verdict.word()),
        };
        // The path of a file that cannot be read is in the reason.
        let mut text = match (self.verdict.reason(), self.receipt) {
            (None, _) => format!("{word} {}\n", self.path.display()),
            (Some(reason), Some(_)) => format!("{word} {}: {reason}\n", self.path.display()),
            (Some(reason), None) => format!("{word} {reason}\n"),
        };
        let Some(receipt) = self.receipt else {
            return text;
        };
        text.push_str(&format!("key       {}\n", hex(receipt.vk_id())));
        if let Some(key) = self.key {
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
        if let Some(key) = self.key {
            text.push_str(&nodes_text(&key.not_proved));
        }
        text
    }

    fn json(&self, read: &Result<Receipt, Error>) -> Value {
        let claims = self.receipt.map_or(&[][..], Receipt::claims);
        let mut json = json!({
            "receipt": self.path.display().to_string(),
            "verdict": self.verdict.word(),
            "accepted": matches!(self.verdict, Verdict::Accepted),
            "reason": self.verdict.reason(),
            "vk_id": self.receipt.map(|receipt| hex(receipt.vk_id())),
            "program_derived": self.key.is_some_and(|key| key.derived),
            "claims": claims.iter().map(claim_json).collect::<Vec<_>>(),
            "not_proved": nodes_json(self.key.map_or(&[], |key| &key.not_proved)),
        });
        if let Err(error) = read {
            json["error"] = error_object(error);
        }
        json
    }
}
