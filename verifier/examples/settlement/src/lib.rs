//! A settlement contract: it holds verifying keys that its owner registered, hands out requests, and pays once for each
//! proved answer to a request.
//!
//! What it relies on, and what it has to do itself:
//!
//! - A receipt says which key it wants to be checked with. Only registered keys count, because a key is only as good as
//!   whoever derived it from the model.
//! - A claim's context is bound by the proof. The contract makes the context from the request and the payee, so a receipt
//!   that somebody copies still pays the one it was made for.
//! - A submitted receipt is checked but for the long multiplication, which is shared by all receipts of a settlement
//!   round. Until that is discharged nobody is paid, and nothing is reserved: a wrong receipt cannot block a right one.
//! - A request is closed when it is paid, so a receipt pays once, however often and in whatever form it is submitted.
#![cfg_attr(target_arch = "wasm32", no_std)]
extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use zkonnx_verifier::{
    Deferred, Params, Receipt, Verified, VerifyingKey, discharge_all, verify, verify_deferred,
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
}

/// An open or closed request.
#[derive(Clone, Debug)]
struct Request {
    vk_id: [u8; 32],
    payee: [u8; 32],
    amount: u64,
    paid: bool,
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

    /// Opens a request and returns the context that its answer has to be proved in.
    pub fn request(
        &mut self,
        nonce: [u8; 32],
        vk_id: [u8; 32],
        payee: [u8; 32],
        amount: u64,
    ) -> Result<[u8; 32], Refusal> {
        if !self.keys.contains_key(&vk_id) {
            return Err(Refusal::UnknownModel);
        }
        let context = context(&nonce, &payee);
        if self.requests.contains_key(&context) {
            return Err(Refusal::Replay);
        }
        let request = Request {
            vk_id,
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
            if request.paid {
                return Err(Refusal::Replay);
            }
            if request.vk_id != *key.id() {
                return Err(Refusal::WrongModel);
            }
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
