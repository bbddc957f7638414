//! A settlement contract: it holds verifying keys that its owner registered, hands out requests, and pays once for each
//! proved answer to a request.
//!
//! A request is about one input of one model. Whoever opens it names both, so that what is paid for is the answer to the
//! question that was asked, not to one that the payee likes better.
//!
//! What it relies on, and what it has to do itself:
//!
//! - A receipt says which key it wants to be checked with. Only registered keys count, because a key is only as good as
//!   whoever derived it from the model.
//! - A claim's context is bound by the proof. The contract makes the context from the request and the payee, so a receipt
//!   that somebody copies still pays the one it was made for.
//! - A proof binds the values of a claim's public input, and nothing says that they are the ones that were asked about. The
//!   request holds the digest of its input, and every claim is compared with it.
//! - A key for private input proves that *some* input has this output. No request can be bound to that, so such keys can be
//!   registered and checked under, and no request can be opened for them.
//! - A submitted receipt is checked but for the long multiplication, which is shared by all receipts of a settlement
//!   round. Until that is discharged nobody is paid, and nothing is reserved: a wrong receipt cannot block a right one.
//! - A request is closed when it is paid, so a receipt pays once, however often and in whatever form it is submitted.
#![cfg_attr(target_arch = "wasm32", no_std)]
extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use zkonnx_verifier::{
    Claim, ClaimInput, Deferred, InputVisibility, Params, Receipt, Verified, VerifyingKey,
    discharge_all, verify, verify_deferred,
};

#[cfg(target_arch = "wasm32")]
mod wasm;

/// Why a call is refused. The numbers are the contract's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Refusal {
    /// The bytes are not what they should be.
    Malformed = -1,
    /// No parameters have been loaded.
    NoParams = -2,
    /// The receipt's key is not registered.
    UnknownModel = -3,
    /// A claim's context is not that of an open request: never asked, or asked of somebody else.
    WrongContext = -4,
    /// A claim answers a request that has been paid.
    Replay = -5,
    /// A claim is about another program than was asked for.
    WrongModel = -6,
    /// The proof is refused before its discharge.
    Rejected = -7,
    /// A claim is about another input than the one that was asked about.
    WrongInput = -8,
    /// The key is for private input, of which no proof says what it is.
    PrivateInput = -9,
}

/// An open or closed request.
#[derive(Clone, Debug)]
struct Request {
    vk_id: [u8; 32],
    /// The digest of the input that is asked about.
    input: [u8; 32],
    payee: [u8; 32],
    amount: u64,
    paid: bool,
}

impl Request {
    /// Whether a claim under a key answers this request.
    fn admits(&self, key: &VerifyingKey, claim: &Claim) -> Result<(), Refusal> {
        if self.paid {
            return Err(Refusal::Replay);
        }
        if self.vk_id != *key.id() {
            return Err(Refusal::WrongModel);
        }
        let public = |input: &ClaimInput| input.values().is_some();
        if claim.inputs().iter().all(public) && input_digest(claim.inputs()) == self.input {
            Ok(())
        } else {
            Err(Refusal::WrongInput)
        }
    }
}

/// A receipt that waits for its discharge, with the contexts of its claims.
struct Pending {
    deferred: Deferred,
    contexts: Vec<[u8; 32]>,
}

/// The contract's state.
#[derive(Default)]
pub struct Settlement {
    params: Option<Params>,
    keys: BTreeMap<[u8; 32], VerifyingKey>,
    requests: BTreeMap<[u8; 32], Request>,
    pending: Vec<Pending>,
    balances: BTreeMap<[u8; 32], u64>,
}

impl Settlement {
    /// Loads the transparent parameters, whose digest is pinned in the verifier.
    pub fn load_params(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.params = Some(Params::decode(bytes).map_err(|_| Refusal::Malformed)?);
        Ok(())
    }

    /// Registers a key, and returns its id.
    pub fn register(&mut self, bytes: &[u8]) -> Result<[u8; 32], Refusal> {
        let key = VerifyingKey::decode(bytes).map_err(|_| Refusal::Malformed)?;
        let id = *key.id();
        self.keys.insert(id, key);
        Ok(id)
    }

    /// Opens a request about the input with this [`input_digest`], and returns the context that its answer has to be
    /// proved in.
    pub fn request(
        &mut self,
        nonce: [u8; 32],
        vk_id: [u8; 32],
        input: [u8; 32],
        payee: [u8; 32],
        amount: u64,
    ) -> Result<[u8; 32], Refusal> {
        let key = self.keys.get(&vk_id).ok_or(Refusal::UnknownModel)?;
        if key.layout().visibility() == InputVisibility::Private {
            return Err(Refusal::PrivateInput);
        }
        let context = context(&nonce, &payee);
        if self.requests.contains_key(&context) {
            return Err(Refusal::Replay);
        }
        let request = Request {
            vk_id,
            input,
            payee,
            amount,
            paid: false,
        };
        self.requests.insert(context, request);
        Ok(context)
    }

    /// Takes a receipt into the next round, and returns the number of its claims. Nothing is paid yet.
    pub fn submit(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let receipt = Receipt::decode(bytes).map_err(|_| Refusal::Malformed)?;
        let params = self.params.as_ref().ok_or(Refusal::NoParams)?;
        let key = self
            .keys
            .get(receipt.vk_id())
            .ok_or(Refusal::UnknownModel)?;
        // The cheap questions first.
        let mut contexts = Vec::new();
        for claim in receipt.claims() {
            let request = self
                .requests
                .get(claim.context())
                .ok_or(Refusal::WrongContext)?;
            request.admits(key, claim)?;
            contexts.push(*claim.context());
        }
        let deferred = verify_deferred(key, params, &receipt).map_err(|_| Refusal::Rejected)?;
        self.pending.push(Pending { deferred, contexts });
        Ok(receipt.claims().len())
    }

    /// Discharges all pending receipts in one multiplication, and returns how many claims were paid.
    pub fn settle(&mut self) -> Result<usize, Refusal> {
        let params = self.params.as_ref().ok_or(Refusal::NoParams)?;
        let pending = core::mem::take(&mut self.pending);
        let mut contexts = BTreeMap::new();
        let mut deferred = Vec::new();
        for item in pending {
            for (digest, context) in item.deferred.pending_claims().iter().zip(&item.contexts) {
                contexts.insert(*digest, *context);
            }
            deferred.push(item.deferred);
        }
        let verified = match discharge_all(deferred, params) {
            Ok(verified) => verified,
            Err(error) => error.verified,
        };
        Ok(verified
            .iter()
            .map(|receipt| self.pay(receipt, &contexts))
            .sum())
    }

    /// Pays the claims of a receipt whose requests are open. The argument can only come from a discharge.
    fn pay(&mut self, verified: &Verified, contexts: &BTreeMap<[u8; 32], [u8; 32]>) -> usize {
        let mut paid = 0;
        for digest in verified.claims() {
            let request = contexts
                .get(digest)
                .and_then(|context| self.requests.get_mut(context));
            let Some(request) = request.filter(|request| !request.paid) else {
                continue;
            };
            request.paid = true;
            let balance = self.balances.entry(request.payee).or_default();
            *balance = balance.saturating_add(request.amount);
            paid += 1;
        }
        paid
    }

    /// What a payee has been paid.
    pub fn balance(&self, payee: &[u8; 32]) -> u64 {
        self.balances.get(payee).copied().unwrap_or(0)
    }

    /// The plain verdict on a receipt under its registered key, without any request.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let receipt = Receipt::decode(bytes).map_err(|_| Refusal::Malformed)?;
        let params = self.params.as_ref().ok_or(Refusal::NoParams)?;
        let key = self
            .keys
            .get(receipt.vk_id())
            .ok_or(Refusal::UnknownModel)?;
        verify(key, params, &receipt).map_err(|_| Refusal::Rejected)
    }
}

/// The context of a request: a hash of its nonce and of who is to be paid for it.
pub fn context(nonce: &[u8; 32], payee: &[u8; 32]) -> [u8; 32] {
    let hash = blake2b_simd::Params::new()
        .hash_length(32)
        .personal(b"settlement ctxt.")
        .to_state()
        .update(nonce)
        .update(payee)
        .finalize();
    let mut context = [0; 32];
    context.copy_from_slice(hash.as_bytes());
    context
}

/// The digest of a model's inputs: of their number and of the digest of each leaf, as a claim has them. Shapes and types
/// are in it, so no two inputs share a digest.
pub fn input_digest(inputs: &[ClaimInput]) -> [u8; 32] {
    let mut state = blake2b_simd::Params::new()
        .hash_length(32)
        .personal(b"settlement input")
        .to_state();
    // A claim has at most 64 inputs.
    state.update(&[inputs.len() as u8]);
    for input in inputs {
        state.update(&input.digest());
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(state.finalize().as_bytes());
    digest
}
