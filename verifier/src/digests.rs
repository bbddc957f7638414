//! Pinned digests of the transparent parameters, the same as in `params/DIGESTS`.

use crate::shape::{MAX_K, MIN_K};
use hex_literal::hex;

/// The digest of the encoded parameters of each size from 2^[`MIN_K`] to 2^[`MAX_K`] rows: a size without one does not
/// compile.
pub(crate) const PARAMS_DIGESTS: [[u8; 32]; (MAX_K - MIN_K + 1) as usize] = [
    hex!("4f33102544b81ed61e71a4b5de785ef6574c1da810801e971f1f4e2f6aa24b1c"),
    hex!("9668f24a618f3bdc0d6f4d471bf2b8b3424668eadd8e6f4a0c7b7accea19cd77"),
    hex!("84ca28cf69ffe65e929138802d8aaa5c26c881f3b98fbf7de6657d98dd400145"),
    hex!("4c397a2acdfa4c6343e50bf66e6f4cf48fdff0f32d41fd3f4edff26164e69d73"),
    hex!("59035ecc53dfe656936e370c8261ffabd1140dab0ae45b9375b842d97ff5f839"),
    hex!("88eb2a317d2e6dbcfbe60ef33160f1b92291917963773071c47af92b933471e3"),
    hex!("bd1e18221b01c076dbdcf3e90274c2e817bcec5f7458fd710d639e7db9ff54ab"),
    hex!("3ba02cb1e1544cc4c868167e65558b84d7211a46624abab2e2c137712485553b"),
    hex!("cdc72e997114151af9a6a04893eb7a0912386b0dc7b6aae48063bd2ba2f3151d"),
    hex!("9711f3d3ca555dfd2fdd45b79b9b92dece4364fd415f28cbff99e8473e0558e7"),
    hex!("9874a16aef4952cf800f49dea6829f43b179ece2ba07452f26918985c521d1ce"),
    hex!("2876bac1bf4dedafb1ef726138e61e1638eb036976173112ae58c49f844c2168"),
];
