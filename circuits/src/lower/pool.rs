//! Maxima before steps.
//!
//! A non-decreasing function commutes with the maximum: `max_i f(a_i) = f(max_i a_i)`. So where a pooling window
//! takes the largest of several requantized values that nobody else reads, one step on the largest accumulator
//! replaces a step for each of them.

use super::{Block, LowerError, Lowering, MAX_FAN_IN, Operand, StepLane, VarId, Wire};

/// Where a variable comes from, and how often it is read.
#[derive(Clone, Copy, Default)]
struct Origin {
    lane: Option<(u32, u32)>,
    uses: u32,
}

impl Lowering {
    /// Moves maxima before steps wherever that is exact; `outputs` are the elements that leave the graph.
    pub(super) fn pool_before_steps<'a>(
        &mut self,
        outputs: impl Iterator<Item = &'a Wire>,
    ) -> Result<(), LowerError> {
        let origins = self.origins(outputs);
        let mut gone = vec![false; self.vars.len()];
        let mut blocks = std::mem::take(&mut self.blocks);
        let sources: Vec<Option<Block>> = blocks
            .iter()
            .map(|b| matches!(b, Block::Step { .. }).then(|| b.clone()))
            .collect();
        for block in &mut blocks {
            let Block::Max { windows, node } = block else {
                continue;
            };
            let fused = fuse(windows, &origins, &sources);
            let Some((source, lanes)) = fused else {
                continue;
            };
            let Some(Some(Block::Step { map, rules, .. })) = sources.get(source as usize) else {
                continue;
            };
            windows
                .iter()
                .flat_map(|(inputs, _)| inputs)
                .for_each(|v| gone[v.0 as usize] = true);
            *block = Block::Step {
                map: *map,
                rules: rules.clone(),
                lanes,
                node: *node,
            };
        }
        for block in &mut blocks {
            if let Block::Step { lanes, .. } = block {
                lanes.retain(|lane| !gone[lane.out.0 as usize]);
            }
        }
        blocks.retain(|b| !matches!(b, Block::Step { lanes, .. } if lanes.is_empty()));
        self.blocks = blocks;
        self.drop_vars(&gone)
    }

    fn origins<'a>(&self, outputs: impl Iterator<Item = &'a Wire>) -> Vec<Origin> {
        let mut origins = vec![Origin::default(); self.vars.len()];
        for operand in self.maps.iter().flat_map(|map| &map.inputs) {
            if let Operand::Cell(v) = operand {
                origins[v.0 as usize].uses += 1;
            }
        }
        for wire in outputs {
            if let Wire::Cell(v) = wire {
                origins[v.0 as usize].uses += 1;
            }
        }
        for (b, block) in self.blocks.iter().enumerate() {
            match block {
                Block::Step { lanes, .. } => {
                    for (l, lane) in lanes.iter().enumerate() {
                        origins[lane.out.0 as usize].lane = Some((b as u32, l as u32));
                    }
                }
                Block::Max { windows, .. } => {
                    for v in windows.iter().flat_map(|(inputs, _)| inputs) {
                        origins[v.0 as usize].uses += 1;
                    }
                }
                Block::Input { .. } => {}
            }
        }
        origins
    }

    /// Renumbers variables after some of them have gone, which nothing reads any more.
    fn drop_vars(&mut self, gone: &[bool]) -> Result<(), LowerError> {
        let mut next = 0;
        self.renumbered = gone
            .iter()
            .map(|&gone| {
                let id = VarId(next);
                next += u32::from(!gone);
                (!gone).then_some(id)
            })
            .collect();
        let vars = self.vars.iter().zip(gone).filter(|(_, gone)| !**gone);
        self.vars = vars.map(|(info, _)| *info).collect();
        let new = &self.renumbered;
        let renumber = |v: &mut VarId| -> Result<(), LowerError> {
            *v = moved(new, *v)?;
            Ok(())
        };
        for operand in self.maps.iter_mut().flat_map(|map| &mut map.inputs) {
            if let Operand::Cell(v) = operand {
                renumber(v)?;
            }
        }
        for block in &mut self.blocks {
            match block {
                Block::Input { cells, .. } => cells.iter_mut().try_for_each(renumber)?,
                Block::Step { lanes, .. } => {
                    lanes.iter_mut().try_for_each(|l| renumber(&mut l.out))?;
                }
                Block::Max { windows, .. } => {
                    for (inputs, out) in windows {
                        inputs.iter_mut().try_for_each(renumber)?;
                        renumber(out)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What an element is called once maxima have been moved before steps.
    pub fn renumbered(&self, wire: Wire) -> Result<Wire, LowerError> {
        match wire {
            Wire::Cell(v) => Ok(Wire::Cell(moved(&self.renumbered, v)?)),
            other => Ok(other),
        }
    }
}

/// The new number of a variable, which must not have gone.
fn moved(numbers: &[Option<VarId>], v: VarId) -> Result<VarId, LowerError> {
    let number = numbers.get(v.0 as usize).copied().flatten();
    number.ok_or(LowerError::NoSuchElement {
        op: "a maximum before its steps",
        wire: Wire::Cell(v),
    })
}

/// The pooled lanes that replace `windows`, if every one of them can be replaced, and the block they come from.
fn fuse(
    windows: &[(Vec<VarId>, VarId)],
    origins: &[Origin],
    sources: &[Option<Block>],
) -> Option<(u32, Vec<StepLane>)> {
    let first = origins[windows.first()?.0.first()?.0 as usize].lane?.0;
    let Some(Block::Step { rules, lanes, .. }) = sources.get(first as usize)? else {
        return None;
    };
    let monotone: Vec<bool> = rules
        .iter()
        .map(|r| r.pieces().windows(2).all(|w| w[0].1 <= w[1].1))
        .collect();
    let mut out = Vec::with_capacity(windows.len());
    for (inputs, result) in windows {
        let mut members = Vec::with_capacity(MAX_FAN_IN);
        for input in inputs {
            let origin = origins[input.0 as usize];
            let (block, lane) = origin.lane?;
            let lane = lanes.get(lane as usize)?;
            if block != first || origin.uses != 1 || lane.others.is_some() {
                return None;
            }
            members.push(*lane);
        }
        let rule = members.first()?.rule;
        if !monotone[rule as usize] || members.iter().any(|m| m.rule != rule) {
            return None;
        }
        let member = |i: usize| members[i.min(members.len() - 1)].index;
        out.push(StepLane {
            index: member(0),
            others: Some([member(1), member(2), member(3)]),
            rule,
            out: *result,
        });
    }
    Some((first, out))
}
