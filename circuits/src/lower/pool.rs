//! Maxima before steps.
//!
//! A non-decreasing function commutes with the maximum: `max_i f(a_i) = f(max_i a_i)`. So where a pooling window
//! takes the largest of several requantized values that nobody else reads, one step on the largest accumulator
//! replaces a step for each of them.

use super::{Block, Lowering, MAX_FAN_IN, StepLane, VarId, Wire};

/// Where a variable comes from, and how often it is read.
#[derive(Clone, Copy, Default)]
struct Origin {
    lane: Option<(u32, u32)>,
    uses: u32,
}

impl Lowering {
    /// Moves maxima before steps wherever that is exact; `outputs` are the elements that leave the graph.
    pub fn pool_before_steps<'a>(&mut self, outputs: impl Iterator<Item = &'a Wire>) {
        let origins = self.origins(outputs);
        let mut pooled: Vec<Block> = Vec::new();
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
            pooled.push(block.clone());
        }
        for block in &mut blocks {
            if let Block::Step { lanes, .. } = block {
                lanes.retain(|lane| !gone[lane.out.0 as usize]);
            }
        }
        blocks.retain(|b| !matches!(b, Block::Step { lanes, .. } if lanes.is_empty()));
        self.blocks = blocks;
        self.drop_vars(&gone);
    }

    fn origins<'a>(&self, outputs: impl Iterator<Item = &'a Wire>) -> Vec<Origin> {
        let mut origins = vec![Origin::default(); self.vars.len()];
        let mut read = |wire: &Wire| {
            if let Wire::Cell(v) = wire {
                origins[v.0 as usize].uses += 1;
            }
        };
        self.maps
            .iter()
            .flat_map(|map| &map.inputs)
            .for_each(&mut read);
        outputs.for_each(&mut read);
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

    /// Renumbers variables after some of them have gone.
    fn drop_vars(&mut self, gone: &[bool]) {
        let mut next = 0;
        let new: Vec<VarId> = gone
            .iter()
            .map(|&gone| {
                let id = VarId(next);
                next += u32::from(!gone);
                id
            })
            .collect();
        let mut kept = gone.iter();
        self.vars.retain(|_| !kept.next().copied().unwrap_or(false));
        self.renumbered = new.clone();
        let renumber = |v: &mut VarId| *v = new[v.0 as usize];
        for map in &mut self.maps {
            for wire in &mut map.inputs {
                if let Wire::Cell(v) = wire {
                    renumber(v);
                }
            }
        }
        for block in &mut self.blocks {
            match block {
                Block::Input { cells, .. } => cells.iter_mut().for_each(renumber),
                Block::Step { lanes, .. } => lanes.iter_mut().for_each(|l| renumber(&mut l.out)),
                Block::Max { windows, .. } => {
                    for (inputs, out) in windows {
                        inputs.iter_mut().for_each(renumber);
                        renumber(out);
                    }
                }
            }
        }
    }

    /// The number that an element has after [`Lowering::pool_before_steps`].
    pub fn renumbered(&self, wire: Wire) -> Wire {
        match wire {
            Wire::Cell(v) => Wire::Cell(self.renumbered.get(v.0 as usize).copied().unwrap_or(v)),
            other => other,
        }
    }
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
