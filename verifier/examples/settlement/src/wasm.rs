//! The contract's exports. A call's argument is written to a buffer that the contract allocates; results are numbers,
//! or bytes left in the same buffer.

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;

use crate::{Refusal, Settlement};

/// Memory grows with every allocation and shrinks when the last one is freed, which is how most of them come and go. The
/// contract is called a bounded number of times per instance, so what stays behind is bounded too.
struct Bump {
    top: UnsafeCell<usize>,
}

// SAFETY: a wasm instance without the threads proposal has one thread.
unsafe impl Sync for Bump {}

const PAGE: usize = 65536;

// SAFETY: blocks come from memory above the module's own, which only this allocator grows into, are aligned as asked,
// and do not overlap, because `top` only moves back over the block that was handed out last.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: there is one thread, and no reference to `top` outlives a statement.
        unsafe {
            let top = self.top.get();
            if *top == 0 {
                *top = core::arch::wasm32::memory_size(0) * PAGE;
            }
            let start = (*top).next_multiple_of(layout.align());
            let end = start + layout.size();
            let pages = end.div_ceil(PAGE);
            let have = core::arch::wasm32::memory_size(0);
            if pages > have
                && core::arch::wasm32::memory_grow(0, (pages - have).max(16)) == usize::MAX
            {
                return core::ptr::null_mut();
            }
            *top = end;
            start as *mut u8
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe {
            if block as usize + layout.size() == *self.top.get() {
                *self.top.get() = block as usize;
            }
        }
    }
}

#[global_allocator]
static ALLOCATOR: Bump = Bump {
    top: UnsafeCell::new(0),
};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// The contract and the buffer of its calls.
struct Instance {
    contract: Option<Settlement>,
    buffer: Vec<u8>,
}

struct Global(UnsafeCell<Instance>);

// SAFETY: a wasm instance without the threads proposal has one thread.
unsafe impl Sync for Global {}

static INSTANCE: Global = Global(UnsafeCell::new(Instance {
    contract: None,
    buffer: Vec::new(),
}));

/// Runs a call on the contract with the buffer's contents, and leaves what it returns there.
fn call(run: impl FnOnce(&mut Settlement, &[u8]) -> Result<(i64, Vec<u8>), Refusal>) -> i64 {
    // SAFETY: there is one thread, and no export is called from within another.
    let instance = unsafe { &mut *INSTANCE.0.get() };
    let contract = instance.contract.get_or_insert_with(Settlement::default);
    match run(contract, &instance.buffer) {
        Ok((result, bytes)) => {
            instance.buffer = bytes;
            result
        }
        Err(refusal) => i64::from(refusal as i32),
    }
}

/// Makes the buffer so many bytes long, and returns where it is.
#[unsafe(no_mangle)]
extern "C" fn buffer(len: usize) -> *mut u8 {
    // SAFETY: as in `call`.
    let instance = unsafe { &mut *INSTANCE.0.get() };
    instance.buffer.clear();
    instance.buffer.resize(len, 0);
    instance.buffer.as_mut_ptr()
}

/// Where the buffer is, to read what a call left.
#[unsafe(no_mangle)]
extern "C" fn result() -> *const u8 {
    // SAFETY: as in `call`.
    unsafe { (*INSTANCE.0.get()).buffer.as_ptr() }
}

/// Buffer: parameters.
#[unsafe(no_mangle)]
extern "C" fn load_params() -> i64 {
    call(|contract, bytes| contract.load_params(bytes).map(|()| (0, Vec::new())))
}

/// Buffer: a verifying key; afterwards its id.
#[unsafe(no_mangle)]
extern "C" fn register() -> i64 {
    call(|contract, bytes| contract.register(bytes).map(|id| (0, id.to_vec())))
}

/// Buffer: nonce, key id, digest of the input, payee, amount as eight bytes; afterwards the context.
#[unsafe(no_mangle)]
extern "C" fn request() -> i64 {
    call(|contract, bytes| {
        let mut rest = bytes;
        let mut field = || {
            let (head, tail) = rest.split_first_chunk::<32>().ok_or(Refusal::Malformed)?;
            rest = tail;
            Ok(*head)
        };
        let (nonce, vk_id, input, payee) = (field()?, field()?, field()?, field()?);
        let amount = rest.try_into().map_err(|_| Refusal::Malformed)?;
        let context = contract.request(nonce, vk_id, input, payee, u64::from_le_bytes(amount))?;
        Ok((0, context.to_vec()))
    })
}

/// Buffer: a receipt. Returns the number of its claims.
#[unsafe(no_mangle)]
extern "C" fn submit() -> i64 {
    call(|contract, bytes| {
        contract
            .submit(bytes)
            .map(|claims| (claims as i64, Vec::new()))
    })
}

/// Returns the number of claims paid.
#[unsafe(no_mangle)]
extern "C" fn settle() -> i64 {
    call(|contract, _| contract.settle().map(|claims| (claims as i64, Vec::new())))
}

/// Buffer: a payee.
#[unsafe(no_mangle)]
extern "C" fn balance() -> i64 {
    call(|contract, bytes| {
        let payee = bytes.try_into().map_err(|_| Refusal::Malformed)?;
        Ok((contract.balance(payee) as i64, Vec::new()))
    })
}

/// Buffer: a receipt. Returns 0 if it is valid under its registered key.
#[unsafe(no_mangle)]
extern "C" fn check() -> i64 {
    call(|contract, bytes| contract.check(bytes).map(|()| (0, Vec::new())))
}
