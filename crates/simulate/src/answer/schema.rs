//! A JSON Schema, compiled into what a writer of values needs.
//!
//! A keyword that would have to be honoured and cannot be is an error, so that no answer breaks its schema in silence.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{bounds, merge};

/// Longer strings and lists than these are not made, however much a schema demands.
const MOST_CHARACTERS: usize = 100_000;
const MOST_ITEMS: usize = 1_000;

/// Keywords that restrict values in ways that the writer does not follow.
const UNSUPPORTED: [&str; 9] = [
    "not",
    "if",
    "contains",
    "pattern",
    "minProperties",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "$dynamicRef",
];

/// The index of a node in its schema.
pub(super) type NodeId = usize;

/// A compiled schema: a graph of nodes, since schemas may be recursive.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(super) nodes: Vec<Node>,
    /// How deep the shallowest value of each node is; none where there is no (finite) value.
    pub(super) floors: Vec<Option<u32>>,
    pub(super) root: NodeId,
}

/// What a value may be.
#[derive(Debug)]
pub(super) enum Node {
    Never,
    Null,
    Boolean,
    /// One of these JSON texts.
    Literals(Vec<String>),
    Integer {
        from: i64,
        to: i64,
        step: u64,
    },
    Number {
        from: f64,
        to: f64,
        step: Option<f64>,
    },
    Text {
        least: usize,
        most: usize,
        format: Option<String>,
    },
    List {
        prefix: Vec<NodeId>,
        items: NodeId,
        least: usize,
        most: usize,
        is_unique: bool,
    },
    Record {
        fields: Vec<Field>,
    },
    /// A value of one of these nodes.
    Choice(Vec<NodeId>),
}

/// A property of an object.
#[derive(Debug)]
pub(super) struct Field {
    /// The name as JSON text, with its quotes.
    pub(super) name: String,
    pub(super) value: NodeId,
    pub(super) is_required: bool,
}

struct Compiler<'a> {
    document: &'a Value,
    nodes: Vec<Node>,
    /// The nodes of what `$ref` points at, so that a recursive schema compiles to a loop.
    referred: HashMap<String, NodeId>,
    /// How many merges deep the compiler is: a schema that merges itself into itself has no end.
    merges: usize,
}

impl Schema {
    /// Compiles the schema, or says why no value can be made for it.
    pub(crate) fn compile(text: &str) -> Result<Schema, String> {
        let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut compiler = Compiler { document: &document, nodes: Vec::new(), referred: HashMap::new(), merges: 0 };
        let root = compiler.compile(&document)?;
        let floors = floors(&compiler.nodes);
        if floors[root].is_none() {
            return Err("no finite value satisfies it".to_owned());
        }
        Ok(Schema { nodes: compiler.nodes, floors, root })
    }
}

impl Compiler<'_> {
    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn compile(&mut self, schema: &Value) -> Result<NodeId, String> {
        let schema = match schema {
            Value::Bool(true) => return Ok(self.add(any_text())),
            Value::Bool(false) => return Ok(self.add(Node::Never)),
            Value::Object(schema) => schema,
            other => return Err(format!("`{other}` is not a schema")),
        };
        if let Some(reference) = schema.get("$ref") {
            return self.compile_reference(reference);
        }
        if let Some(keyword) = UNSUPPORTED.into_iter().find(|keyword| schema.contains_key(*keyword)) {
            return Err(format!("the simulated vendor cannot follow the keyword `{keyword}`"));
        }
        if let Some(literal) = schema.get("const") {
            return Ok(self.add(Node::Literals(vec![literal.to_string()])));
        }
        if let Some(literals) = schema.get("enum") {
            let literals = literals.as_array().filter(|literals| !literals.is_empty());
            let literals = literals.ok_or("`enum` is not a list of at least one value")?;
            return Ok(self.add(Node::Literals(literals.iter().map(Value::to_string).collect())));
        }
        if schema.contains_key("allOf") {
            return self.merged(|document| merge::all_of(document, schema));
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(alternatives) = schema.get(keyword) {
                return self.compile_alternatives(schema, keyword, alternatives);
            }
        }
        match schema.get("type") {
            Some(Value::String(name)) => self.compile_type(name, schema),
            Some(Value::Array(names)) => {
                let mut choices = Vec::with_capacity(names.len());
                for name in names {
                    let name = name.as_str().ok_or_else(|| format!("`{name}` is not a type"))?;
                    choices.push(self.compile_type(name, schema)?);
                }
                Ok(self.add(Node::Choice(choices)))
            }
            Some(other) => Err(format!("`{other}` is not a type")),
            None => self.compile_type(implied_type(schema), schema),
        }
    }

    fn compile_reference(&mut self, reference: &Value) -> Result<NodeId, String> {
        let known = |document| merge::resolve(document, reference);
        let target = known(self.document)?;
        let pointer = reference.to_string();
        if let Some(&id) = self.referred.get(&pointer) {
            return Ok(id);
        }
        let id = self.add(Node::Never);
        self.referred.insert(pointer, id);
        let target = self.compile(target)?;
        self.nodes[id] = Node::Choice(vec![target]);
        Ok(id)
    }

    fn compile_alternatives(
        &mut self,
        schema: &Map<String, Value>,
        keyword: &str,
        alternatives: &Value,
    ) -> Result<NodeId, String> {
        let alternatives = alternatives.as_array().ok_or_else(|| format!("`{keyword}` is not a list"))?;
        let rest = merge::without(schema, keyword);
        let mut choices = Vec::with_capacity(alternatives.len());
        for alternative in alternatives {
            choices.push(if rest.is_empty() {
                self.compile(alternative)?
            } else {
                self.merged(|document| merge::both(document, &rest, alternative))?
            });
        }
        Ok(self.add(Node::Choice(choices)))
    }

    fn merged(&mut self, merge: impl FnOnce(&Value) -> Result<Value, String>) -> Result<NodeId, String> {
        if self.merges == 32 {
            return Err("its `allOf` and `anyOf` are nested too deep".to_owned());
        }
        let merged = merge(self.document)?;
        self.merges += 1;
        let id = self.compile(&merged);
        self.merges -= 1;
        id
    }

    fn compile_type(&mut self, name: &str, schema: &Map<String, Value>) -> Result<NodeId, String> {
        let node = match name {
            "null" => Node::Null,
            "boolean" => Node::Boolean,
            "string" => {
                let (least, most) = bounds::counts(schema, "minLength", "maxLength", MOST_CHARACTERS)?;
                let format = schema.get("format").and_then(Value::as_str).map(str::to_owned);
                Node::Text { least, most, format }
            }
            "integer" => bounds::integer(schema)?,
            "number" => bounds::number(schema)?,
            "array" => self.compile_list(schema)?,
            "object" => self.compile_record(schema)?,
            other => return Err(format!("`{other}` is not a type")),
        };
        Ok(self.add(node))
    }

    fn compile_list(&mut self, schema: &Map<String, Value>) -> Result<Node, String> {
        let (least, most) = bounds::counts(schema, "minItems", "maxItems", MOST_ITEMS)?;
        let prefix = match schema.get("prefixItems").and_then(Value::as_array) {
            Some(schemas) => schemas.iter().map(|schema| self.compile(schema)).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let items = self.compile(schema.get("items").unwrap_or(&Value::Bool(true)))?;
        let is_unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        Ok(Node::List { prefix, items, least, most, is_unique })
    }

    fn compile_record(&mut self, schema: &Map<String, Value>) -> Result<Node, String> {
        let required = schema.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut fields = Vec::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let is_required = required.iter().any(|required| required == name);
            let value = self.compile(property)?;
            fields.push(Field { name: Value::from(name.as_str()).to_string(), value, is_required });
        }
        let undescribed = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
        for name in required.iter().filter_map(Value::as_str) {
            if properties.is_none_or(|properties| !properties.contains_key(name)) {
                let value = self.compile(undescribed)?;
                fields.push(Field { name: Value::from(name).to_string(), value, is_required: true });
            }
        }
        Ok(Node::Record { fields })
    }
}

fn any_text() -> Node {
    Node::Text { least: 0, most: usize::MAX, format: None }
}

/// Returns the type that a schema without `type` is about, by its keywords.
fn implied_type(schema: &Map<String, Value>) -> &'static str {
    let has = |keywords: &[&str]| keywords.iter().any(|keyword| schema.contains_key(*keyword));
    if has(&["properties", "required", "additionalProperties"]) {
        "object"
    } else if has(&["items", "prefixItems", "minItems", "maxItems", "uniqueItems"]) {
        "array"
    } else if has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) {
        "number"
    } else {
        "string"
    }
}

/// Finds the depth of the shallowest value of each node, by going round until nothing changes.
fn floors(nodes: &[Node]) -> Vec<Option<u32>> {
    let mut floors = vec![None; nodes.len()];
    loop {
        let mut has_changed = false;
        for (id, node) in nodes.iter().enumerate() {
            let floor = floor(node, &floors);
            // The first round that finds a floor need not find the least, yet any floor that was found is attained by
            // children found before it, so that following the least of them always comes to an end.
            if floors[id].is_none() && floor.is_some() {
                floors[id] = floor;
                has_changed = true;
            }
        }
        if !has_changed {
            return floors;
        }
    }
}

fn floor(node: &Node, floors: &[Option<u32>]) -> Option<u32> {
    let deepest = |ids: &mut dyn Iterator<Item = NodeId>| {
        let mut deepest = 0;
        for id in ids {
            deepest = deepest.max(floors[id]?);
        }
        Some(deepest + 1)
    };
    match node {
        Node::Never => None,
        Node::List { prefix, items, least, .. } => {
            let n_prefix = prefix.len().min(*least);
            deepest(&mut prefix[..n_prefix].iter().copied().chain((*least > n_prefix).then_some(*items)))
        }
        Node::Record { fields } => {
            deepest(&mut fields.iter().filter(|field| field.is_required).map(|field| field.value))
        }
        Node::Choice(choices) => choices.iter().filter_map(|&id| floors[id]).min().map(|floor| floor + 1),
        _ => Some(0),
    }
}
