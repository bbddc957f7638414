//! Branches that a constant chooses, and loops that constants count.

use crate::error::{ImportError, NodeError};
use crate::graph::constant::Constant;
use crate::graph::{Attribute, AttributeValue, Graph, Node, NodeView, STANDARD, ValueId, base};
use crate::proto::{Body, Library};
use zkonnx_circuits::program::{DataType, MAX_NODES};

/// What the walk has before it.
pub(crate) enum Task {
    Node(Box<Node>),
    /// A loop whose passes so far are behind it.
    Pass(Box<Loop>),
}

/// What becomes of a task.
pub(crate) enum Inlined {
    /// A node that holds no graph, or one that constants do not decide; why, if it is refused.
    Node(Box<Node>),
    /// These stand for it.
    Tasks(Vec<Task>),
}

/// The nodes that stand for a branch, or for the next pass through a loop.
pub(crate) fn inlined(
    graph: &mut Graph,
    library: &Library,
    task: Task,
) -> Result<Inlined, ImportError> {
    let (node, result) = match task {
        Task::Pass(state) => {
            let node = Box::new(state.node.clone());
            (node, pass(graph, library, *state))
        }
        Task::Node(node) if node.is("If") => {
            let result = branch(graph, library, &node);
            (node, result)
        }
        Task::Node(node) if node.is("Loop") => match Loop::start(graph, &node) {
            Ok(Some(state)) => (node, pass(graph, library, state)),
            Ok(None) => (node, Ok(None)),
            Err(refused) => (node, Err(refused)),
        },
        Task::Node(node) if node.is("Scan") && node.opset >= 9 => {
            let result = scan(graph, library, &node);
            (node, result)
        }
        Task::Node(node) => return Ok(Inlined::Node(node)),
    };
    match result {
        Ok(Some(tasks)) => Ok(Inlined::Tasks(tasks)),
        Ok(None) => Ok(Inlined::Node(node)),
        Err(Refused::Node(fault)) => {
            let fault = Some(fault);
            Ok(Inlined::Node(Box::new(Node { fault, ..*node })))
        }
        Err(Refused::Model(error)) => Err(error),
    }
}

/// Why a node is not inlined.
enum Refused {
    Node(NodeError),
    Model(ImportError),
}

impl From<NodeError> for Refused {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

impl From<ImportError> for Refused {
    fn from(error: ImportError) -> Self {
        Self::Model(error)
    }
}

type Tasks = Result<Option<Vec<Task>>, Refused>;

fn tasks(nodes: Vec<Node>) -> Vec<Task> {
    let nodes = nodes.into_iter().map(Box::new);
    nodes.map(Task::Node).collect()
}

/// An inner graph of a node.
fn body(node: &Node, name: &'static str) -> Result<Body, Refused> {
    let attribute = node.attributes.iter().find(|a| a.name == name);
    match attribute.map(|a| &a.value) {
        Some(AttributeValue::Other(encoded)) => Ok(Body::read(encoded)?),
        _ => Err(NodeError::Attribute {
            name,
            reason: "it is not a graph",
        }
        .into()),
    }
}

/// The truth that a value is, if it is known.
fn truth(graph: &Graph, value: ValueId) -> Option<bool> {
    let constant = graph.constant(value)?;
    match (constant.dtype(), constant.as_int()) {
        (Some(DataType::Bool), Some(v)) => Some(v != 0),
        _ => None,
    }
}

fn same(opset: i64, from: ValueId, to: ValueId) -> Node {
    operation("Identity", opset, vec![from], to, Vec::new())
}

fn operation(
    op: &str,
    opset: i64,
    inputs: Vec<ValueId>,
    output: ValueId,
    attributes: Vec<Attribute>,
) -> Node {
    Node {
        domain: STANDARD.into(),
        op: op.into(),
        opset,
        inputs: inputs.into_iter().map(Some).collect(),
        outputs: vec![Some(output)],
        attributes,
        ..Node::default()
    }
}

fn branch(graph: &mut Graph, library: &Library, node: &Node) -> Tasks {
    let Some(chosen) = node.input(0).and_then(|value| truth(graph, value)) else {
        return Ok(None);
    };
    let name = if chosen { "then_branch" } else { "else_branch" };
    let (mut nodes, results) = library.inline(graph, node, &body(node, name)?, &[])?;
    if results.len() != node.outputs.len() {
        return Err(results_of(name).into());
    }
    let outputs = node.outputs.iter().zip(results);
    let outputs = outputs.filter_map(|(output, result)| Some((result, (*output)?)));
    nodes.extend(outputs.map(|(from, to)| same(node.opset, from, to)));
    Ok(Some(tasks(nodes)))
}

fn results_of(name: &'static str) -> NodeError {
    NodeError::Attribute {
        name,
        reason: "it has another number of inputs or outputs than the node",
    }
}

/// A loop that is being unrolled.
pub(crate) struct Loop {
    node: Node,
    body: Body,
    /// How often it runs at most.
    limit: Option<i64>,
    /// Whether it goes on.
    condition: Option<ValueId>,
    carried: Vec<ValueId>,
    /// For each result that is collected, what the passes so far gave.
    collected: Vec<Vec<ValueId>>,
    passes: i64,
}

impl Loop {
    /// `None` if its length depends on the data.
    fn start(graph: &Graph, node: &Node) -> Result<Option<Self>, Refused> {
        let known = |value: Option<ValueId>| value.map(|value| graph.constant(value));
        let condition = node.input(1);
        let limit = match known(node.input(0)) {
            None => None,
            Some(Some(limit)) => Some(limit.as_int().ok_or(NodeError::Input {
                input: 0,
                what: "the trip count",
                reason: "it is not one integer",
            })?),
            Some(None) => return Ok(None),
        };
        if condition.is_some_and(|condition| truth(graph, condition).is_none()) {
            return Ok(None);
        }
        let carried: Option<Vec<ValueId>> = node.inputs.iter().skip(2).copied().collect();
        let kinds = |carried: &Vec<ValueId>| node.outputs.len().checked_sub(carried.len());
        let carried = carried.and_then(|carried| Some((kinds(&carried)?, carried)));
        let (kinds, carried) = carried.ok_or_else(|| results_of("body"))?;
        Ok(Some(Self {
            body: body(node, "body")?,
            node: node.clone(),
            limit,
            condition,
            carried,
            collected: vec![Vec::new(); kinds],
            passes: 0,
        }))
    }
}

/// The next pass through a loop: its body, and the loop behind it.
fn pass(graph: &mut Graph, library: &Library, mut state: Loop) -> Tasks {
    let goes_on = match state.condition {
        None => true,
        Some(condition) => truth(graph, condition).ok_or(NodeError::Input {
            input: 1,
            what: "the condition",
            reason: "it depends on the data",
        })?,
    };
    if !goes_on || state.limit.is_some_and(|limit| state.passes >= limit) {
        return Ok(Some(tasks(ended(graph, &state)?)));
    }
    let name = base(&graph.node_name(&state.node)).to_owned();
    let number = Constant::ints(DataType::I64, vec![], vec![state.passes]);
    let number = graph.add_constant(&format!("{name}/pass"), number);
    let on = Constant::ints(DataType::Bool, vec![], vec![1]);
    let on = graph.add_constant(&format!("{name}/goes_on"), on);
    let given = [&[number, on], state.carried.as_slice()].concat();
    let (nodes, results) = library.inline(graph, &state.node, &state.body, &given)?;
    let Some((condition, results)) = results.split_first() else {
        return Err(results_of("body").into());
    };
    if results.len() != state.node.outputs.len() {
        return Err(results_of("body").into());
    }
    let (carried, made) = results.split_at(state.carried.len());
    for (all, value) in state.collected.iter_mut().zip(made) {
        all.push(*value);
    }
    state.condition = Some(*condition);
    state.carried = carried.to_vec();
    state.passes += 1;
    let mut tasks = tasks(nodes);
    tasks.push(Task::Pass(Box::new(state)));
    Ok(Some(tasks))
}

/// What a loop gives once it has ended.
fn ended(graph: &mut Graph, state: &Loop) -> Result<Vec<Node>, NodeError> {
    let (node, mut nodes) = (&state.node, Vec::new());
    let (carried, collected) = node.outputs.split_at(state.carried.len());
    for (output, value) in carried.iter().zip(&state.carried) {
        nodes.extend(output.map(|output| same(node.opset, *value, output)));
    }
    for (output, values) in collected.iter().zip(&state.collected) {
        let Some(output) = *output else { continue };
        if values.is_empty() {
            return Err(NodeError::Attribute {
                name: "body",
                reason: "it never runs, so that nobody knows the shape of what it collects",
            });
        }
        nodes.extend(stacked(graph, node.opset, values, output, 0));
    }
    Ok(nodes)
}

/// Values behind each other along a new axis.
fn stacked(
    graph: &mut Graph,
    opset: i64,
    values: &[ValueId],
    output: ValueId,
    axis: i64,
) -> Vec<Node> {
    let name = base(graph.name(output)).to_owned();
    let mut nodes = Vec::with_capacity(values.len() + 1);
    let mut rows = Vec::with_capacity(values.len());
    for value in values {
        let row = graph.add(&format!("{name}/row"));
        let unsqueeze = if opset >= 13 {
            let axes = Constant::ints(DataType::I64, vec![1], vec![axis]);
            let axes = graph.add_constant(&format!("{name}/axes"), axes);
            operation("Unsqueeze", opset, vec![*value, axes], row, Vec::new())
        } else {
            let axes = vec![Attribute::ints("axes", &[axis])];
            operation("Unsqueeze", opset, vec![*value], row, axes)
        };
        nodes.push(unsqueeze);
        rows.push(row);
    }
    let axis = vec![Attribute::int("axis", axis)];
    nodes.push(operation("Concat", opset, rows, output, axis));
    nodes
}

/// All passes of a `Scan`, whose number is an extent of what it goes through.
fn scan(graph: &mut Graph, library: &Library, node: &Node) -> Tasks {
    let view = NodeView::new(graph, node);
    let scanned = usize::try_from(view.int("num_scan_inputs", 0)?).unwrap_or(0);
    let list = |name, count: usize| -> Result<Vec<i64>, NodeError> {
        let values = view.maybe_ints(name)?.map(<[i64]>::to_vec);
        Ok(values.unwrap_or_else(|| vec![0; count]))
    };
    let states = node.inputs.len().saturating_sub(scanned);
    let kinds = node.outputs.len().saturating_sub(states);
    let (axes, back) = (
        list("scan_input_axes", scanned)?,
        list("scan_input_directions", scanned)?,
    );
    let (made_axes, made_back) = (
        list("scan_output_axes", kinds)?,
        list("scan_output_directions", kinds)?,
    );
    let inputs: Option<Vec<ValueId>> = node.inputs.iter().copied().collect();
    let Some(inputs) = inputs.filter(|_| scanned > 0 && states <= node.outputs.len()) else {
        return Ok(None);
    };
    let lengths = [axes.len(), back.len(), made_axes.len(), made_back.len()];
    if lengths != [scanned, scanned, kinds, kinds] {
        return Err(results_of("body").into());
    }
    let mut places = Vec::with_capacity(scanned);
    let mut steps = None;
    for (value, axis) in inputs[states..].iter().zip(&axes) {
        let Some(shape) = graph.shape(*value) else {
            return Ok(None);
        };
        let axis = view.axis("scan_input_axes", *axis, shape.len())?;
        if *steps.get_or_insert(shape[axis]) != shape[axis] {
            return Err(NodeError::Attribute {
                name: "scan_input_axes",
                reason: "the axes have different extents",
            }
            .into());
        }
        places.push(axis as i64);
    }
    let steps = steps.unwrap_or(0);
    if steps == 0 || steps > MAX_NODES {
        return Ok(None);
    }
    let (opset, body) = (node.opset, body(node, "body")?);
    let name = base(&graph.node_name(node)).to_owned();
    let mut carried = inputs[..states].to_vec();
    let mut collected = vec![Vec::new(); kinds];
    let mut nodes = Vec::new();
    for step in 0..steps {
        let mut given = carried.clone();
        for (i, value) in inputs[states..].iter().enumerate() {
            let place = if back[i] == 0 { step } else { steps - 1 - step };
            let place = Constant::ints(DataType::I64, vec![], vec![place as i64]);
            let place = graph.add_constant(&format!("{name}/place"), place);
            let part = graph.add(&format!("{name}/part"));
            let axis = vec![Attribute::int("axis", places[i])];
            nodes.push(operation("Gather", opset, vec![*value, place], part, axis));
            given.push(part);
        }
        let (made, results) = library.inline(graph, node, &body, &given)?;
        if results.len() != node.outputs.len() {
            return Err(results_of("body").into());
        }
        nodes.extend(made);
        if nodes.len() > MAX_NODES {
            let (what, max) = ("nodes", MAX_NODES);
            return Err(ImportError::TooMany { what, max }.into());
        }
        carried = results[..states].to_vec();
        for (all, value) in collected.iter_mut().zip(&results[states..]) {
            all.push(*value);
        }
    }
    for (output, value) in node.outputs.iter().zip(&carried) {
        nodes.extend(output.map(|output| same(opset, *value, output)));
    }
    for (i, mut values) in collected.into_iter().enumerate() {
        let Some(output) = node.output(states + i) else {
            continue;
        };
        if made_back[i] != 0 {
            values.reverse();
        }
        nodes.extend(stacked(graph, opset, &values, output, made_axes[i]));
    }
    Ok(Some(tasks(nodes)))
}
