//! One text with many mutants in it, each behind its switch.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::places::{Form, Place};

/// The path of the switch in the rewritten crate.
const SWITCH: &str = "crate::zkonnx_mutants";

/// Where a mutant stands in the rewritten text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) id: u32,
    /// All that was written for its place.
    pub(crate) region: Range<usize>,
    /// The mutated text alone, where it is apart from the original.
    pub(crate) own: Option<Range<usize>>,
}

/// A source with switches.
#[derive(Debug, Default)]
pub(crate) struct Rewritten {
    pub(crate) text: String,
    pub(crate) marks: Vec<Mark>,
}

/// Rewrites `source` with the mutants that `ids` has a number for, by place and mutation.
pub(crate) fn rewrite(
    source: &str,
    places: &[Place],
    ids: &BTreeMap<(usize, usize), u32>,
) -> Rewritten {
    let chosen = |place: usize| -> Vec<(usize, u32)> {
        ids.range((place, 0)..(place + 1, 0))
            .map(|(&(_, mutation), &id)| (mutation, id))
            .collect()
    };
    let mut order: Vec<(usize, Vec<(usize, u32)>)> = (0..places.len())
        .map(|i| (i, chosen(i)))
        .filter(|(_, chosen)| !chosen.is_empty())
        .collect();
    order.sort_by_key(|&(i, _)| (places[i].range.start, Reverse(places[i].range.end), i));
    let mut writer = Writer {
        source,
        places,
        order: &order,
        next: 0,
        out: Rewritten::default(),
    };
    writer.copy(0..source.len());
    writer.out
}

struct Writer<'a> {
    source: &'a str,
    places: &'a [Place],
    /// Places in the order of the text, outer ones first, with the numbers of their mutations.
    order: &'a [(usize, Vec<(usize, u32)>)],
    next: usize,
    out: Rewritten,
}

impl Writer<'_> {
    /// Writes a range of the source, with the places in it.
    fn copy(&mut self, range: Range<usize>) {
        let mut at = range.start;
        while let Some((place, chosen)) = self.order.get(self.next) {
            let (places, source) = (self.places, self.source);
            let place = &places[*place];
            if place.range.start >= range.end || place.range.end > range.end {
                break;
            }
            self.next += 1;
            self.out.text.push_str(&source[at..place.range.start]);
            self.place(place, chosen);
            at = place.range.end;
        }
        let source = self.source;
        self.out.text.push_str(&source[at..range.end]);
    }

    fn push(&mut self, text: &str) {
        self.out.text.push_str(text);
    }

    fn place(&mut self, place: &Place, chosen: &[(usize, u32)]) {
        let start = self.out.text.len();
        let mut own = Vec::new();
        match &place.form {
            Form::Choice => {
                self.push("(");
                for &(mutation, id) in chosen {
                    self.push(&format!("if {SWITCH}::on({id}) {{ "));
                    let from = self.out.text.len();
                    self.push(&place.mutations[mutation].code);
                    own.push(Some(from..self.out.text.len()));
                    self.push(" } else ");
                }
                self.push("{ (");
                self.copy(place.range.clone());
                self.push(") })");
            }
            Form::Condition => {
                self.push("(");
                for &(mutation, id) in chosen {
                    let value = place.mutations[mutation].code == "true";
                    let (not, op) = if value { ("", "||") } else { ("!", "&&") };
                    self.push(&format!("{not}{SWITCH}::on({id}) {op} ("));
                    own.push(None);
                }
                self.copy(place.range.clone());
                self.push(&")".repeat(chosen.len() + 1));
            }
            Form::Statement | Form::Entry => {
                for &(mutation, id) in chosen {
                    let deleted = place.form == Form::Statement;
                    let not = if deleted { "!" } else { "" };
                    self.push(&format!("if {not}{SWITCH}::on({id}) {{ "));
                    let from = self.out.text.len();
                    match deleted {
                        true => self.copy(place.range.clone()),
                        false => self.push(&place.mutations[mutation].code),
                    }
                    own.push((!deleted).then_some(from..self.out.text.len()));
                    self.push(" }");
                }
            }
            Form::Forward(inner) => {
                for &(_, id) in chosen {
                    self.push(&format!("{SWITCH}::rev({id}, "));
                    self.copy(inner.clone());
                    self.push(")");
                    own.push(None);
                }
            }
        }
        let region = start..self.out.text.len();
        for (&(_, id), own) in chosen.iter().zip(own) {
            let region = region.clone();
            self.out.marks.push(Mark { id, region, own });
        }
    }
}

/// The mutants to blame for an error at these ranges of the rewritten text, the most telling ranges first.
pub(crate) fn blame(marks: &[Mark], spans: &[Range<usize>]) -> Vec<u32> {
    let within = |outer: &Range<usize>, inner: &Range<usize>| {
        outer.start <= inner.start && inner.end <= outer.end
    };
    for span in spans {
        let mut own: Vec<(usize, u32)> = marks
            .iter()
            .filter_map(|mark| Some((mark.own.clone()?, mark.id)))
            .filter(|(own, _)| within(own, span))
            .map(|(own, id)| (own.len(), id))
            .collect();
        own.sort_unstable();
        if let Some(&(_, id)) = own.first() {
            return vec![id];
        }
    }
    for span in spans {
        let around = marks.iter().filter(|mark| within(&mark.region, span));
        if let Some(region) = around.map(|mark| &mark.region).min_by_key(|r| r.len()) {
            let same = marks.iter().filter(|mark| mark.region == *region);
            return same.map(|mark| mark.id).collect();
        }
    }
    for span in spans {
        let inside = marks.iter().filter(|mark| within(span, &mark.region));
        let ids: Vec<u32> = inside.map(|mark| mark.id).collect();
        if !ids.is_empty() {
            return ids;
        }
    }
    Vec::new()
}
