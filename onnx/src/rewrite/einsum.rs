//! `Einsum` of one or two operands as transpositions, sums and one matrix product.

use crate::graph::{Attribute, Draft, NodeView, ValueId};

/// An operand: its letters, and their extents.
struct Operand {
    value: ValueId,
    letters: Vec<char>,
    extents: Vec<usize>,
}

impl Operand {
    fn extent(&self, letter: char) -> Option<usize> {
        let place = self.letters.iter().position(|l| *l == letter)?;
        self.extents.get(place).copied()
    }

    /// Adds up along the letters that nothing else has.
    fn reduced(mut self, p: &mut Draft<'_>, others: &[char], out: &[char]) -> Self {
        let gone = |l: &char| !others.contains(l) && !out.contains(l);
        let places = (0..self.letters.len()).filter(|&i| gone(&self.letters[i]));
        let axes: Vec<i64> = places.map(|i| i as i64).collect();
        if axes.is_empty() {
            return self;
        }
        let sum = p.reduce("ReduceSum", self.value, &axes);
        let kept: Vec<usize> = (0..self.letters.len())
            .filter(|&i| !gone(&self.letters[i]))
            .collect();
        self.extents = kept.iter().map(|&i| self.extents[i]).collect();
        self.letters = kept.iter().map(|&i| self.letters[i]).collect();
        self.value = p.reshape(sum, &self.extents);
        self
    }

    /// The operand with its letters in this order.
    fn ordered(&self, p: &mut Draft<'_>, order: &[char]) -> Option<ValueId> {
        let place = |l: &char| self.letters.iter().position(|own| own == l);
        let perm: Vec<usize> = order.iter().map(place).collect::<Option<_>>()?;
        if perm.iter().enumerate().all(|(i, p)| i == *p) {
            return Some(self.value);
        }
        let perm: Vec<i64> = perm.into_iter().map(|i| i as i64).collect();
        Some(p.with(
            "Transpose",
            &[self.value],
            vec![Attribute::ints("perm", &perm)],
        ))
    }
}

/// The terms of an equation and of its result; `None` for forms that are left as they are: dots, and a letter twice in
/// one term.
pub(crate) fn terms(equation: &str) -> Option<(Vec<Vec<char>>, Vec<char>)> {
    let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (inputs, output) = match text.split_once("->") {
        Some((inputs, output)) => (inputs, Some(output)),
        None => (text.as_str(), None),
    };
    let inputs: Vec<Vec<char>> = inputs
        .split(',')
        .map(|term| term.chars().collect())
        .collect();
    let output: Vec<char> = match output {
        Some(output) => output.chars().collect(),
        None => {
            // Letters that occur once, in the order of the alphabet.
            let all = || inputs.iter().flatten();
            let mut once: Vec<char> = all()
                .filter(|l| all().filter(|other| other == l).count() == 1)
                .copied()
                .collect();
            once.sort_unstable();
            once
        }
    };
    let plain = |term: &Vec<char>| {
        let twice = |i: usize| term[..i].contains(&term[i]);
        term.iter().all(char::is_ascii_alphabetic) && !(0..term.len()).any(twice)
    };
    let known = output
        .iter()
        .all(|l| inputs.iter().any(|term| term.contains(l)));
    (known && inputs.iter().all(plain) && plain(&output)).then_some((inputs, output))
}

/// The result of an `Einsum`.
pub(crate) fn einsum(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let (inputs, out) = terms(node.text("equation", "").ok()?)?;
    node.check_attributes().ok()?;
    if inputs.len() != node.inputs() {
        return None;
    }
    let mut operands = Vec::with_capacity(inputs.len());
    for (i, letters) in inputs.into_iter().enumerate() {
        let extents = node.shape(i)?;
        if extents.len() != letters.len() {
            return None;
        }
        operands.push(Operand {
            value: node.input(i)?,
            letters,
            extents,
        });
    }
    let second = operands.pop()?;
    let Some(first) = operands.pop() else {
        return second.reduced(p, &[], &out).ordered(p, &out);
    };
    if !operands.is_empty() {
        return None;
    }
    let extent = |l: char| match (first.extent(l), second.extent(l)) {
        (Some(a), Some(b)) if a != b => None,
        (a, b) => a.or(b),
    };
    let mut all: Vec<char> = first
        .letters
        .iter()
        .chain(&second.letters)
        .copied()
        .collect();
    all.sort_unstable();
    all.dedup();
    // Of an extent of one that is broadcast nothing is said.
    let extents: Option<Vec<(char, usize)>> = all.iter().map(|&l| Some((l, extent(l)?))).collect();
    let extents = extents?;
    let size = |letters: &[char]| -> usize {
        let of = |l: &char| {
            extents
                .iter()
                .find(|(own, _)| own == l)
                .map_or(1, |(_, n)| *n)
        };
        letters.iter().map(of).product()
    };
    let (a_letters, b_letters) = (first.letters.clone(), second.letters.clone());
    let first = first.reduced(p, &b_letters, &out);
    let second = second.reduced(p, &a_letters, &out);
    let pick = |own: &Operand, other: &[char], shared: bool, kept: bool| -> Vec<char> {
        let fits = |l: &&char| other.contains(l) == shared && out.contains(l) == kept;
        own.letters.iter().filter(fits).copied().collect()
    };
    let batch = pick(&first, &b_letters, true, true);
    let summed = pick(&first, &b_letters, true, false);
    let rows = pick(&first, &b_letters, false, true);
    let columns = pick(&second, &a_letters, false, true);
    let a = first.ordered(p, &[batch.as_slice(), &rows, &summed].concat())?;
    let b = second.ordered(p, &[batch.as_slice(), &summed, &columns].concat())?;
    let matrix = |p: &mut Draft<'_>, value, of: [&[char]; 2]| {
        let mut shape: Vec<usize> = batch.iter().map(|&l| size(&[l])).collect();
        shape.extend(of.map(size));
        p.reshape(value, &shape)
    };
    let a = matrix(p, a, [&rows, &summed]);
    let b = matrix(p, b, [&summed, &columns]);
    let product = p.op("MatMul", &[a, b]);
    let letters = [batch.as_slice(), &rows, &columns].concat();
    let shape: Vec<usize> = letters.iter().map(|&l| size(&[l])).collect();
    let result = Operand {
        value: p.reshape(product, &shape),
        letters,
        extents: shape,
    };
    result.ordered(p, &out)
}

#[cfg(test)]
mod tests {
    use super::terms;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn accepts_equations_with_and_without_a_result() {
        let two = Some((vec![chars("bij"), chars("bjk")], chars("bik")));
        assert_eq!(terms("bij, bjk -> bik"), two);
        assert_eq!(
            terms("kj,ji"),
            Some((vec![chars("kj"), chars("ji")], chars("ik")))
        );
    }

    #[test]
    fn rejects_dots_and_diagonals() {
        for equation in ["...i,ij->...j", "ii->i", "ij->ijk", "i1->i", ""] {
            let found = terms(equation);
            assert!(
                found.is_none() || equation.is_empty(),
                "{equation}: {found:?}"
            );
        }
    }
}
