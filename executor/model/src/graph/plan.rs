//! In which order the nodes of a graph run, and what each of them is given.
//!
//! Everything here is linear in the nodes and edges, and nothing recurses: a graph comes from outside.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use serde_json::{Map, Value};

use crate::field::{FieldError, shorten};

/// Nodes of one graph.
pub const MAX_NODES: usize = 1000;
/// Edges of one graph.
pub const MAX_EDGES: usize = 10_000;
/// Nodes that a message names.
const NAMED: usize = 10;

/// The names that the fields have.
const IDS: &str = "graph_function_ids";
const CONNECTIONS: &str = "graph_connection_data";

/// What the original says of a graph with a cycle, and of one with several ends.
const NOT_A_DAG: &str = "Graph is not a Directed Acyclic Graph (DAG). Execution stopped.";
const NOT_ONE_LEAF: &str = "Graph must have exactly one leaf node to produce a single final output.";

/// A graph that can be run: its nodes in an order in which each comes after its parents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    nodes: Vec<Node>,
    leaf: usize,
}

/// One node. Others are known by their positions in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The function that it is a call of.
    pub function_id: Arc<str>,
    /// The nodes whose outputs it is given, in the order in which `graph_connection_data` names them.
    pub parents: Vec<usize>,
    /// The nodes that are given its output.
    pub children: Vec<usize>,
}

impl Plan {
    /// Reads the nodes and edges of a graph's record. Returns what its author should know.
    pub fn parse(document: &Map<String, Value>) -> Result<(Self, Vec<String>), FieldError> {
        let mut drawn = Drawn::default();
        drawn.listed(document)?;
        let warnings = drawn.connected(document)?;
        let order = drawn.order()?;
        let leaf = drawn.leaf()?;
        Ok((drawn.plan(&order, leaf), warnings))
    }

    /// The nodes, each after its parents.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The position of the node whose output is that of the graph.
    pub fn leaf(&self) -> usize {
        self.leaf
    }
}

/// A graph as it was written, with numbers in the place of names.
#[derive(Default)]
struct Drawn<'a> {
    names: Vec<&'a str>,
    numbers: HashMap<&'a str, usize>,
    parents: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
}

impl<'a> Drawn<'a> {
    /// Takes the nodes that are listed.
    fn listed(&mut self, document: &'a Map<String, Value>) -> Result<(), FieldError> {
        for id in texts(document.get(IDS)) {
            let known = self.names.len();
            if self.node(id, IDS)? < known {
                return Err(FieldError::new(IDS, format!("has `{}` twice", shorten(id, 60))));
            }
        }
        Ok(())
    }

    /// Takes the edges. A node that is only in an edge is one all the same, as the original runs it when it is reached.
    fn connected(&mut self, document: &'a Map<String, Value>) -> Result<Vec<String>, FieldError> {
        let listed = self.names.len();
        let mut edges = HashSet::new();
        for (from, to) in document.get(CONNECTIONS).and_then(Value::as_object).into_iter().flatten() {
            let parent = self.node(from, CONNECTIONS)?;
            for id in texts(Some(to)) {
                let child = self.node(id, CONNECTIONS)?;
                if !edges.insert((parent, child)) {
                    let (from, to) = (shorten(from, 60), shorten(id, 60));
                    return Err(FieldError::new(CONNECTIONS, format!("has the edge `{from} -> {to}` twice")));
                }
                if MAX_EDGES < edges.len() {
                    return Err(FieldError::new(CONNECTIONS, format!("must have at most {MAX_EDGES} edges")));
                }
                self.children.get_mut(parent).into_iter().for_each(|children| children.push(child));
                self.parents.get_mut(child).into_iter().for_each(|parents| parents.push(parent));
            }
        }
        let unlisted = self.names.get(listed..).unwrap_or_default();
        let warning = || format!("`{CONNECTIONS}` has nodes that `{IDS}` has not: {}", named(unlisted.iter().copied()));
        Ok((!unlisted.is_empty()).then(warning).into_iter().collect())
    }

    /// The number of a node, a new one if it was not named before.
    fn node(&mut self, name: &'a str, field: &str) -> Result<usize, FieldError> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let number = self.names.len();
        if number == MAX_NODES {
            return Err(FieldError::new(field, format!("must have at most {MAX_NODES} nodes")));
        }
        self.numbers.insert(name, number);
        self.names.push(name);
        self.parents.push(Vec::new());
        self.children.push(Vec::new());
        Ok(number)
    }

    /// All nodes, each after its parents: those without parents first, as they are listed, as in the original.
    fn order(&self) -> Result<Vec<usize>, FieldError> {
        let mut missing: Vec<usize> = self.parents.iter().map(Vec::len).collect();
        let mut ready: VecDeque<usize> = (0..self.names.len()).filter(|node| missing.get(*node) == Some(&0)).collect();
        let mut order = Vec::with_capacity(self.names.len());
        while let Some(node) = ready.pop_front() {
            order.push(node);
            for child in self.children.get(node).into_iter().flatten() {
                if let Some(missing) = missing.get_mut(*child) {
                    *missing = missing.saturating_sub(1);
                    if *missing == 0 {
                        ready.push_back(*child);
                    }
                }
            }
        }
        if order.len() == self.names.len() { Ok(order) } else { Err(self.cycle(&missing)) }
    }

    /// One of the cycles among the nodes of which parents are missing: each has such a parent, so that going from
    /// parent to parent comes back to where it was.
    fn cycle(&self, missing: &[usize]) -> FieldError {
        let left = |node: &usize| missing.get(*node).is_some_and(|n| *n != 0);
        let mut path: Vec<usize> = Vec::new();
        let mut seen = HashMap::new();
        let mut next = (0..self.names.len()).find(left);
        let start = loop {
            let Some(node) = next else { break 0 };
            if let Some(at) = seen.insert(node, path.len()) {
                break at;
            }
            path.push(node);
            next = self.parents.get(node).and_then(|parents| parents.iter().copied().find(left));
        };
        // It was walked against the edges.
        let mut cycle: Vec<usize> = path.get(start..).unwrap_or_default().iter().rev().copied().collect();
        // Told from the node that was listed first.
        let first = cycle.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(at, _)| at);
        cycle.rotate_left(first);
        let mut told: Vec<String> = cycle.iter().take(NAMED).map(|node| shorten(self.name(*node), 60)).collect();
        if NAMED < cycle.len() {
            told.push("…".into());
        }
        told.extend(cycle.first().map(|node| shorten(self.name(*node), 60)));
        FieldError::sentence(CONNECTIONS, format!("{NOT_A_DAG} It has the cycle `{}`", told.join(" -> ")))
    }

    /// The one node that no other is given the output of.
    fn leaf(&self) -> Result<usize, FieldError> {
        let leaves: Vec<usize> =
            (0..self.names.len()).filter(|node| self.children.get(*node).is_some_and(Vec::is_empty)).collect();
        match leaves.as_slice() {
            [leaf] => Ok(*leaf),
            [] => Err(FieldError::sentence(IDS, format!("{NOT_ONE_LEAF} It has no nodes"))),
            leaves => {
                let (n, names) = (leaves.len(), named(leaves.iter().map(|node| self.name(*node))));
                Err(FieldError::sentence(CONNECTIONS, format!("{NOT_ONE_LEAF} It has {n}: {names}")))
            }
        }
    }

    fn name(&self, node: usize) -> &'a str {
        self.names.get(node).copied().unwrap_or_default()
    }

    /// The nodes in `order`, which from then on gives them their numbers.
    fn plan(&self, order: &[usize], leaf: usize) -> Plan {
        let mut places = vec![0; order.len()];
        for (place, node) in order.iter().enumerate() {
            places.get_mut(*node).into_iter().for_each(|there| *there = place);
        }
        let moved = |nodes: Option<&Vec<usize>>| -> Vec<usize> {
            nodes.into_iter().flatten().filter_map(|node| places.get(*node).copied()).collect()
        };
        let node = |node: &usize| Node {
            function_id: self.name(*node).into(),
            parents: moved(self.parents.get(*node)),
            children: moved(self.children.get(*node)),
        };
        Plan { nodes: order.iter().map(node).collect(), leaf: places.get(leaf).copied().unwrap_or_default() }
    }
}

/// The strings of a list.
fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Some of the names, for a message.
pub fn named<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut res: Vec<String> = names.take(NAMED).map(|name| format!("`{}`", shorten(name, 60))).collect();
    if more != 0 {
        res.push(format!("and {more} more"));
    }
    res.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Edges as `a>b`, in the order in which their parents are to be named.
    fn document(ids: &[&str], edges: &[&str]) -> Map<String, Value> {
        let mut connections = Map::new();
        for edge in edges {
            let (from, to) = edge.split_once('>').unwrap();
            connections.entry(from).or_insert(json!([])).as_array_mut().unwrap().push(json!(to));
        }
        let document = json!({IDS: ids, CONNECTIONS: connections});
        document.as_object().unwrap().clone()
    }

    fn parse(ids: &[&str], edges: &[&str]) -> Result<(Plan, Vec<String>), FieldError> {
        Plan::parse(&document(ids, edges))
    }

    /// Each node with its parents, and the leaf.
    fn told(plan: &Plan) -> String {
        let name = |node: &usize| plan.nodes[*node].function_id.to_string();
        let node = |node: &Node| {
            let parents: Vec<String> = node.parents.iter().map(name).collect();
            format!("{}({})", node.function_id, parents.join(" "))
        };
        let nodes: Vec<String> = plan.nodes.iter().map(node).collect();
        format!("{} -> {}", nodes.join(" "), name(&plan.leaf))
    }

    #[test]
    fn nodes_come_after_their_parents_and_parents_in_the_order_of_the_connections() {
        for (ids, edges, expected) in [
            (&["a"][..], &[][..], "a() -> a"),
            (&["a", "b", "c", "d"], &["a>b", "a>c", "b>d", "c>d"], "a() b(a) c(a) d(b c) -> d"),
            (&["a", "b", "c", "d"], &["c>d", "b>d", "a>b", "a>c"], "a() b(a) c(a) d(c b) -> d"),
            (&["d", "c", "b", "a"], &["a>b", "b>c", "c>d"], "a() b(a) c(b) d(c) -> d"),
            (&["x", "y", "z"], &["z>y", "x>y"], "x() z() y(z x) -> y"),
            (&["a", "b", "c"], &["a>c", "b>c", "a>b"], "a() b(a) c(a b) -> c"),
        ] {
            let (plan, warnings) = parse(ids, edges).unwrap();
            assert_eq!((told(&plan).as_str(), warnings.len()), (expected, 0), "{ids:?} {edges:?}");
            for (at, node) in plan.nodes().iter().enumerate() {
                assert!(node.parents.iter().all(|parent| *parent < at), "{plan:?}");
                assert!(node.children.iter().all(|child| plan.nodes[*child].parents.contains(&at)), "{plan:?}");
            }
        }
    }

    #[test]
    fn what_cannot_run_is_refused_with_the_nodes_that_show_it() {
        let cycle = |told: &str| format!("{NOT_A_DAG} It has the cycle `{told}`");
        let leaves = |told: &str| format!("{NOT_ONE_LEAF} It has {told}");
        let long: Vec<String> = (0..20).map(|i| format!("n{i}>n{}", (i + 1) % 20)).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        for (ids, edges, field, message) in [
            (&["a"][..], &["a>a"][..], CONNECTIONS, cycle("a -> a")),
            (&["b", "a"], &["a>b", "b>a"], CONNECTIONS, cycle("b -> a -> b")),
            (&["a", "b", "c", "d"], &["a>b", "b>c", "c>b", "c>d"], CONNECTIONS, cycle("b -> c -> b")),
            (&["e", "a", "b", "c"], &["a>b", "b>c", "c>a", "c>e"], CONNECTIONS, cycle("a -> b -> c -> a")),
            (&[], &long, CONNECTIONS, cycle("n0 -> n1 -> n2 -> n3 -> n4 -> n5 -> n6 -> n7 -> n8 -> n9 -> … -> n0")),
            (&[], &[], IDS, leaves("no nodes")),
            (&["a", "b", "c"], &["a>b", "a>c"], CONNECTIONS, leaves("2: `b`, `c`")),
            (&["a", "b"], &[], CONNECTIONS, leaves("2: `a`, `b`")),
            (&["a", "b", "a"], &["a>b"], IDS, "has `a` twice".into()),
            (&["a", "b"], &["a>b", "a>b"], CONNECTIONS, "has the edge `a -> b` twice".into()),
        ] {
            let error = parse(ids, edges).unwrap_err();
            assert_eq!((error.field(), error.message()), (field, message.as_str()), "{ids:?} {edges:?}");
        }
        let whole = parse(&["a"], &["a>a"]).unwrap_err().to_string();
        assert!(whole.starts_with(NOT_A_DAG), "{whole}");
    }

    #[test]
    fn a_node_that_is_only_connected_is_one_with_a_warning() {
        let (plan, warnings) = parse(&["a"], &["a>b", "b>c"]).unwrap();
        assert_eq!(told(&plan), "a() b(a) c(b) -> c");
        assert_eq!(warnings, ["`graph_connection_data` has nodes that `graph_function_ids` has not: `b`, `c`"]);
    }

    #[test]
    fn the_bounds_are_those_of_nodes_and_edges_and_large_graphs_take_no_time() {
        let names: Vec<String> = (0..100_000).map(|i| format!("n{i}")).collect();
        let ids = |n: usize| names.iter().take(n).map(String::as_str).collect::<Vec<_>>();
        let chain: Vec<String> = names.windows(2).map(|pair| format!("{}>{}", pair[0], pair[1])).collect();
        let chain = |n: usize| chain.iter().take(n).map(String::as_str).collect::<Vec<_>>();
        assert_eq!(parse(&ids(MAX_NODES), &chain(MAX_NODES - 1)).unwrap().0.nodes().len(), MAX_NODES);
        for (ids, edges, field) in [
            (ids(MAX_NODES + 1), Vec::new(), IDS),
            (ids(100_000), chain(99_999), IDS),
            (Vec::new(), chain(99_999), CONNECTIONS),
        ] {
            let error = parse(&ids, &edges).unwrap_err();
            assert_eq!((error.field(), error.message()), (field, "must have at most 1000 nodes"));
        }
        // Layers of which each node feeds all of the next: 2^n ways through it, and every node once.
        let layers = |n: usize, width: usize| {
            let node = |layer: usize, i: usize| format!("l{layer}n{i}");
            let mut edges: Vec<String> = Vec::new();
            for layer in 1..n {
                for i in 0..width {
                    edges.extend((0..width).map(|j| format!("{}>{}", node(layer - 1, i), node(layer, j))));
                }
            }
            edges.extend((0..width).map(|i| format!("{}>end", node(n - 1, i))));
            edges
        };
        let edges = layers(99, 10);
        let (plan, _) = parse(&[], &edges.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!((plan.nodes().len(), plan.nodes()[plan.leaf()].parents.len()), (991, 10));
        let edges = layers(4, 60);
        let error = parse(&[], &edges.iter().map(String::as_str).collect::<Vec<_>>()).unwrap_err();
        assert_eq!((error.field(), error.message()), (CONNECTIONS, "must have at most 10000 edges"));
    }
}
