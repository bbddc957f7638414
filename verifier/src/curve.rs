//! Additions of points in the two forms that a multi-scalar multiplication goes through. Variable time.

use ff::Field;
use pasta_curves::Fq;

/// A point that is not the identity.
#[derive(Clone, Copy)]
pub(crate) struct Affine {
    pub(crate) x: Fq,
    pub(crate) y: Fq,
}

/// A point in Jacobian coordinates, (x/z², y/z³); z = 0 is the identity.
#[derive(Clone, Copy)]
pub(crate) struct Jacobian {
    pub(crate) x: Fq,
    pub(crate) y: Fq,
    pub(crate) z: Fq,
}

impl Jacobian {
    /// Whether this is the identity.
    pub(crate) fn is_identity(&self) -> bool {
        self.z.is_zero_vartime()
    }

    pub(crate) const IDENTITY: Self = Self {
        x: Fq::ZERO,
        y: Fq::ZERO,
        z: Fq::ZERO,
    };

    pub(crate) fn double(&self) -> Self {
        // a = 0; no point has order two, so z stays nonzero.
        let a = self.x.square();
        let b = self.y.square();
        let c = b.square();
        let d = (self.x + b).square() - a - c;
        let d = d + d;
        let e = a + a + a;
        let x = e.square() - d - d;
        let c8 = {
            let c2 = c + c;
            let c4 = c2 + c2;
            c4 + c4
        };
        let yz = self.y * self.z;
        Self {
            x,
            y: e * (d - x) - c8,
            z: yz + yz,
        }
    }

    pub(crate) fn add_affine(&self, other: &Affine) -> Self {
        if self.z.is_zero_vartime() {
            return Self {
                x: other.x,
                y: other.y,
                z: Fq::ONE,
            };
        }
        let zz = self.z.square();
        let h = other.x * zz - self.x;
        let r = other.y * zz * self.z - self.y;
        if h.is_zero_vartime() {
            return if r.is_zero_vartime() {
                self.double()
            } else {
                Self::IDENTITY
            };
        }
        let hh = h.square();
        let hhh = hh * h;
        let v = self.x * hh;
        let x = r.square() - hhh - v - v;
        Self {
            x,
            y: r * (v - x) - self.y * hhh,
            z: self.z * h,
        }
    }

    pub(crate) fn add(&self, other: &Self) -> Self {
        if self.z.is_zero_vartime() {
            return *other;
        }
        if other.z.is_zero_vartime() {
            return *self;
        }
        let (zz1, zz2) = (self.z.square(), other.z.square());
        let (u1, u2) = (self.x * zz2, other.x * zz1);
        let (s1, s2) = (self.y * zz2 * other.z, other.y * zz1 * self.z);
        let (h, r) = (u2 - u1, s2 - s1);
        if h.is_zero_vartime() {
            return if r.is_zero_vartime() {
                self.double()
            } else {
                Self::IDENTITY
            };
        }
        let hh = h.square();
        let hhh = hh * h;
        let v = u1 * hh;
        let x = r.square() - hhh - v - v;
        Self {
            x,
            y: r * (v - x) - s1 * hhh,
            z: self.z * other.z * h,
        }
    }
}

/// What the slope of a + b is divided by; one where the sum is the identity, so that no inverse is missing.
pub(crate) fn denominator(a: &Affine, b: &Affine) -> Fq {
    let difference = b.x - a.x;
    if !difference.is_zero_vartime() {
        difference
    } else if a.y == b.y {
        a.y + a.y
    } else {
        Fq::ONE
    }
}

/// a + b, given the inverse of [`denominator`]; `None` is the identity.
pub(crate) fn add_with_inverse(a: &Affine, b: &Affine, inverse: &Fq) -> Option<Affine> {
    let slope = if a.x != b.x {
        (b.y - a.y) * inverse
    } else if a.y == b.y {
        let xx = a.x.square();
        (xx + xx + xx) * inverse
    } else {
        return None;
    };
    let x = slope.square() - a.x - b.x;
    Some(Affine {
        x,
        y: slope * (a.x - x) - a.y,
    })
}
