//! The syntax tree as indented text, for people who want to see how a file was read.
//!
//! A node is its label and its parts: `label(part, part)` on one line where that
//! fits, otherwise the parts below it. Places and comments are left out.

use super::{
    Arg, Attribute, AxisDecl, BinaryOp, Block, Branch, Expr, ExprKind, File, FnDecl, GoldenBlock,
    GoldenEntry, GoldenRole, Index, Item, ItemKind, MemberKind, Method, Module, ModuleKind, Name,
    ParamDecl, Parameter, Path, Place, ProbeBlock, ProbeStmt, Require, Segment, Setting, Snapshot,
    StateDecl, Stmt, StmtKind, TestBlock, TestStmt, Text, TrainBlock, TrainItem, Type, TypeKind,
    UnaryOp, WeightEntry, WeightsBlock,
};

/// The widest line that holds a whole node.
const WIDTH: usize = 88;

/// Prints a tree.
pub fn print_syntax(file: &File) -> String {
    let mut parts = Vec::new();
    parts.extend(
        file.edition
            .as_ref()
            .map(|edition| leaf(format!("girih {}", edition.text))),
    );
    parts.extend(file.items.iter().map(item));
    let mut text = String::new();
    for part in parts {
        part.print(0, &mut text);
    }
    text
}

/// A label and its parts.
struct Node {
    label: String,
    parts: Vec<Node>,
}

impl Node {
    fn flat(&self, most: usize) -> Option<String> {
        let mut text = self.label.clone();
        if let ([part], true) = (self.parts.as_slice(), text.ends_with(['=', ':'])) {
            text.push(' ');
            text.push_str(&part.flat(most.checked_sub(text.chars().count())?)?);
            return (text.chars().count() <= most).then_some(text);
        }
        for (at, part) in self.parts.iter().enumerate() {
            text.push_str(if at == 0 { "(" } else { ", " });
            text.push_str(&part.flat(most.checked_sub(text.chars().count())?)?);
        }
        if !self.parts.is_empty() {
            text.push(')');
        }
        (text.chars().count() <= most).then_some(text)
    }

    fn print(&self, indent: usize, text: &mut String) {
        text.push_str(&" ".repeat(indent));
        if let Some(line) = self.flat(WIDTH.saturating_sub(indent)) {
            text.push_str(&line);
            text.push('\n');
            return;
        }
        text.push_str(&self.label);
        text.push('\n');
        for part in &self.parts {
            part.print(indent + 2, text);
        }
    }
}

fn leaf(label: impl Into<String>) -> Node {
    Node {
        label: label.into(),
        parts: Vec::new(),
    }
}

fn node(label: impl Into<String>, parts: Vec<Node>) -> Node {
    Node {
        label: label.into(),
        parts,
    }
}

fn quoted(text: &Text) -> String {
    format!("{:?}", text.text)
}

fn item(item: &Item) -> Node {
    match &item.kind {
        ItemKind::Use(used) => leaf(format!("use {}", quoted(&used.path))),
        ItemKind::Plugin(id) => leaf(format!("plugin {}", quoted(id))),
        ItemKind::Axis(decl) => axis(decl),
        ItemKind::Let(name, value) => node(format!("let {}", name.text), vec![expr(value)]),
        ItemKind::Fn(decl) => function(decl),
        ItemKind::Module(decl) => module(decl),
        ItemKind::Weights(block) => weights(block),
        ItemKind::Golden(block) => golden(block),
        ItemKind::Test(block) => test(block),
        ItemKind::Snapshot(block) => snapshot(block),
        ItemKind::Train(block) => train(block),
        ItemKind::Probe(block) => probe(block),
        ItemKind::Procedure(decl) => {
            let mut parts: Vec<_> = decl.params.iter().map(parameter).collect();
            parts.extend(
                decl.result
                    .as_ref()
                    .map(|result| node("result", vec![ty(result)])),
            );
            parts.push(block("body", &decl.body));
            node(format!("procedure {}", decl.name.text), parts)
        }
    }
}

fn axis(decl: &AxisDecl) -> Node {
    let kind = decl
        .kind
        .as_ref()
        .map_or(String::new(), |kind| format!(": {}", kind.text));
    node(
        format!("axis {}{kind}", decl.name.text),
        decl.extent.iter().map(expr).collect(),
    )
}

fn function(decl: &FnDecl) -> Node {
    let mut parts: Vec<_> = decl.params.iter().map(parameter).collect();
    parts.extend(
        decl.result
            .as_ref()
            .map(|result| node("result", vec![ty(result)])),
    );
    parts.extend(decl.body.as_ref().map(|body| block("body", body)));
    let mut found = node(format!("fn {}", decl.name.text), parts);
    for attribute in decl.attributes.iter().rev() {
        found = node(attribute_label(attribute), vec![found]);
    }
    found
}

fn parameter(param: &Parameter) -> Node {
    let mut parts: Vec<_> = param.ty.iter().map(ty).collect();
    parts.extend(
        param
            .default
            .as_ref()
            .map(|default| node("default", vec![expr(default)])),
    );
    node(format!("parameter {}", param.name.text), parts)
}

fn module(decl: &Module) -> Node {
    let word = match decl.kind {
        ModuleKind::Module => "module",
        ModuleKind::Model => "model",
        ModuleKind::Memory => "memory",
    };
    let mut parts: Vec<_> = decl.params.iter().map(parameter).collect();
    parts.extend(decl.members.iter().map(|member| member_node(&member.kind)));
    node(format!("{word} {}", decl.name.text), parts)
}

fn member_node(member: &MemberKind) -> Node {
    match member {
        MemberKind::Axis(decl) => axis(decl),
        MemberKind::Let(name, value) => node(format!("let {}", name.text), vec![expr(value)]),
        MemberKind::Param(decl) => param(decl),
        MemberKind::Sub(decl) => {
            let mut parts = vec![expr(&decl.value)];
            parts.extend(rename(decl.rename.as_ref()));
            node(format!("sub {}", path(&decl.path)), parts)
        }
        MemberKind::Stack(decl) => {
            let mut parts = vec![count(decl.var.as_ref(), &decl.count), expr(&decl.value)];
            parts.extend(rename(decl.rename.as_ref()));
            node(format!("stack {}", path(&decl.path)), parts)
        }
        MemberKind::Experts(decl) => node(
            format!("experts {}", decl.name.text),
            decl.branches.iter().map(branch).collect(),
        ),
        MemberKind::State(decl) => state(decl),
        MemberKind::Method(decl) => method(decl),
        MemberKind::Setting(decl) => setting(decl),
    }
}

fn param(decl: &ParamDecl) -> Node {
    let mut parts = vec![ty(&decl.ty)];
    parts.extend(
        decl.init
            .as_ref()
            .map(|init| node("init", vec![expr(init)])),
    );
    parts.extend(rename(decl.rename.as_ref()));
    parts.extend(decl.storage.as_ref().map(|storage| {
        node(
            format!("stored {}", storage.kind.text),
            storage.group.iter().map(expr).collect(),
        )
    }));
    parts.extend(decl.frozen.then(|| leaf("frozen")));
    node(format!("param {}", path(&decl.path)), parts)
}

fn rename(name: Option<&Text>) -> Option<Node> {
    name.map(|name| leaf(format!("as {}", quoted(name))))
}

fn count(var: Option<&Name>, count: &Expr) -> Node {
    let var = var.map_or(String::new(), |var| format!(" {}", var.text));
    node(format!("count{var}"), vec![expr(count)])
}

fn branch(branch: &Branch) -> Node {
    let mut parts: Vec<_> = branch
        .count
        .iter()
        .map(|number| count(branch.var.as_ref(), number))
        .collect();
    parts.push(expr(&branch.value));
    node(format!("branch {}", branch.name.text), parts)
}

fn state(decl: &StateDecl) -> Node {
    let shared = if decl.shared { "shared " } else { "" };
    node(
        format!("{shared}state {}", decl.name.text),
        vec![ty(&decl.ty), expr(&decl.init)],
    )
}

fn method(decl: &Method) -> Node {
    let mut parts: Vec<_> = decl.params.iter().map(parameter).collect();
    parts.extend(
        decl.result
            .as_ref()
            .map(|result| node("result", vec![ty(result)])),
    );
    parts.extend(
        decl.when
            .as_ref()
            .map(|when| node("when", vec![expr(when)])),
    );
    parts.push(block("body", &decl.body));
    node(format!("method {}", decl.name.text), parts)
}

fn setting(setting: &Setting) -> Node {
    node(
        format!("setting {}", setting.name.text),
        setting.values.iter().map(expr).collect(),
    )
}

fn block(label: &str, block: &Block) -> Node {
    node(label, block.stmts.iter().map(stmt).collect())
}

fn stmt(stmt: &Stmt) -> Node {
    let mut found = match &stmt.kind {
        StmtKind::Bind { places, value } => {
            let mut parts: Vec<_> = places.iter().map(place).collect();
            parts.push(expr(value));
            node("equation", parts)
        }
        StmtKind::Return(value) => node("return", vec![expr(value)]),
        StmtKind::State(decl) => state(decl),
        StmtKind::Recurrence {
            over,
            reverse,
            body,
        } => {
            let reverse = if *reverse { " reverse" } else { "" };
            block(&format!("recurrence {}{reverse}", over.text), body)
        }
        StmtKind::For { var, over, body } => node(
            format!("for {}", var.text),
            vec![expr(over), block("body", body)],
        ),
        StmtKind::If { cond, then, other } => {
            let mut parts = vec![expr(cond), block("then", then)];
            parts.extend(other.as_ref().map(|other| block("else", other)));
            node("if", parts)
        }
        StmtKind::While { cond, limit, body } => node(
            "while",
            vec![
                expr(cond),
                node("limit", vec![expr(limit)]),
                block("body", body),
            ],
        ),
        StmtKind::Emit(value) => node("emit", vec![expr(value)]),
        StmtKind::Do(value) => node("do", vec![expr(value)]),
    };
    for attribute in stmt.attributes.iter().rev() {
        found = node(attribute_label(attribute), vec![found]);
    }
    found
}

fn attribute_label(attribute: &Attribute) -> String {
    node(
        format!("@{}", attribute.name.text),
        attribute.args.iter().map(arg).collect(),
    )
    .flat(usize::MAX)
    .unwrap_or_default()
}

fn place(place: &Place) -> Node {
    let prime = if place.next { "'" } else { "" };
    let items = place.indices.as_deref().unwrap_or_default();
    node(
        format!("{}{prime}", place.name.text),
        items.iter().map(index).collect(),
    )
}

fn index(item: &Index) -> Node {
    match item {
        Index::Bind(name, value) => node(format!("{} =", name.text), vec![expr(value)]),
        Index::At(value) => expr(value),
        Index::All(_) => leaf("*"),
    }
}

fn arg(arg: &Arg) -> Node {
    match &arg.name {
        Some(name) => node(format!("{} =", name.text), vec![expr(&arg.value)]),
        None => expr(&arg.value),
    }
}

fn expr(value: &Expr) -> Node {
    match &value.kind {
        ExprKind::Int(number) => leaf(number.to_string()),
        ExprKind::Float(digits) => leaf(digits.clone()),
        ExprKind::Text(text) => leaf(quoted(text)),
        ExprKind::Bool(truth) => leaf(truth.to_string()),
        ExprKind::Name(name) => leaf(name.clone()),
        ExprKind::Next(name) => leaf(format!("{name}'")),
        ExprKind::Unary(UnaryOp::Neg, inner) => node("neg", vec![expr(inner)]),
        ExprKind::Unary(UnaryOp::Not, inner) => node("not", vec![expr(inner)]),
        ExprKind::Binary(op, left, right) => node(binary(*op), vec![expr(left), expr(right)]),
        ExprKind::Reduce {
            reducer,
            args,
            body,
            ..
        } => {
            let axes: Vec<_> = args
                .iter()
                .filter_map(|one| arg(one).flat(usize::MAX))
                .collect();
            node(
                format!("{}[{}]", reducer.word(), axes.join(", ")),
                vec![expr(body)],
            )
        }
        ExprKind::Where {
            value,
            domain,
            other,
        } => {
            let mut parts = vec![expr(value), expr(domain)];
            parts.extend(other.iter().map(|other| expr(other)));
            node("where", parts)
        }
        ExprKind::If { cond, then, other } => node("if", vec![expr(cond), expr(then), expr(other)]),
        ExprKind::Call { callee, args } => {
            let mut parts = vec![expr(callee)];
            parts.extend(args.iter().map(arg));
            node("call", parts)
        }
        ExprKind::Index { base, items } => {
            let mut parts = vec![expr(base)];
            parts.extend(items.iter().map(index));
            node("index", parts)
        }
        ExprKind::Field { base, name } => node(format!(".{}", name.text), vec![expr(base)]),
        ExprKind::Record(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| node(format!("{}:", name.text), vec![expr(value)]));
            node("record", fields.collect())
        }
        ExprKind::Tuple(items) => node("tuple", items.iter().map(expr).collect()),
        ExprKind::List(items) => node("list", items.iter().map(expr).collect()),
        ExprKind::Arrow(from, to) => node("arrow", vec![expr(from), expr(to)]),
        ExprKind::Route {
            items,
            experts,
            settings,
        } => {
            let mut parts = vec![expr(items)];
            parts.extend(settings.iter().map(setting));
            node(format!("route to {}", experts.text), parts)
        }
    }
}

fn binary(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Or => "or",
        BinaryOp::And => "and",
        BinaryOp::Eq => "eq",
        BinaryOp::Ne => "ne",
        BinaryOp::Lt => "lt",
        BinaryOp::Le => "le",
        BinaryOp::Gt => "gt",
        BinaryOp::Ge => "ge",
        BinaryOp::In => "in",
        BinaryOp::Add => "add",
        BinaryOp::Sub => "sub",
        BinaryOp::Mul => "mul",
        BinaryOp::Div => "div",
        BinaryOp::FloorDiv => "floor_div",
        BinaryOp::Rem => "rem",
        BinaryOp::Pow => "pow",
    }
}

fn ty(found: &Type) -> Node {
    match &found.kind {
        TypeKind::Tensor { name, axes } => {
            node(name.text.clone(), axes.iter().map(index).collect())
        }
        TypeKind::Record(fields) => {
            let fields = fields
                .iter()
                .map(|(name, field)| node(format!("{}:", name.text), vec![ty(field)]));
            node("record", fields.collect())
        }
        TypeKind::Tuple(items) => node("tuple", items.iter().map(ty).collect()),
    }
}

fn path(path: &Path) -> String {
    let segments = path.segments.iter().enumerate().map(|(at, segment)| {
        let dot = if at == 0 { "" } else { "." };
        match segment {
            Segment::Name(name) => format!("{dot}{}", name.text),
            Segment::Wild(name) => format!("{dot}{{{}}}", name.text),
            Segment::Star(_) => format!("{dot}*"),
            Segment::Index(items) => {
                let items: Vec<_> = items
                    .iter()
                    .filter_map(|item| index(item).flat(usize::MAX))
                    .collect();
                format!("[{}]", items.join(", "))
            }
        }
    });
    segments.collect()
}

fn weights(block: &WeightsBlock) -> Node {
    let mut parts: Vec<_> = block.requires.iter().map(require).collect();
    parts.extend(block.sets.iter().map(setting));
    parts.extend(block.entries.iter().map(weight_entry));
    node(
        format!("weights {} for {}", block.name.text, block.model.text),
        parts,
    )
}

fn require(line: &Require) -> Node {
    let reason = line.reason.iter().map(|reason| leaf(quoted(reason)));
    node(
        "require",
        std::iter::once(expr(&line.claim)).chain(reason).collect(),
    )
}

fn weight_entry(entry: &WeightEntry) -> Node {
    let mut parts: Vec<_> = entry.stored.iter().map(|name| leaf(quoted(name))).collect();
    let ignored = entry.paths.is_empty().then(|| leaf("ignore"));
    parts.extend(
        entry
            .paths
            .iter()
            .map(|target| leaf(path(target)))
            .chain(ignored),
    );
    parts.extend(layout(entry.layout.as_deref(), entry.optional));
    node("entry", parts)
}

fn layout(layout: Option<&[Expr]>, optional: bool) -> Vec<Node> {
    let layout = layout.map(|items| node("layout", items.iter().map(expr).collect()));
    layout
        .into_iter()
        .chain(optional.then(|| leaf("optional")))
        .collect()
}

fn golden(block: &GoldenBlock) -> Node {
    let mut parts = vec![expr(&block.model)];
    parts.extend(
        block
            .method
            .as_ref()
            .map(|method| leaf(format!("method {}", method.text))),
    );
    parts.extend(block.sets.iter().map(setting));
    parts.extend(block.entries.iter().map(golden_entry));
    node(format!("golden {}", block.name.text), parts)
}

fn golden_entry(entry: &GoldenEntry) -> Node {
    let word = match entry.role {
        GoldenRole::Input => "input",
        GoldenRole::Param => "param",
        GoldenRole::State => "state",
        GoldenRole::Value => "value",
        GoldenRole::Cotangent => "cotangent",
        GoldenRole::Objective => "objective",
        GoldenRole::Grad => "grad",
        GoldenRole::Ignore => "ignore",
    };
    let mut parts: Vec<_> = entry.source.iter().map(expr).collect();
    parts.extend(layout(entry.layout.as_deref(), entry.optional));
    node(format!("{word} {}", path(&entry.path)), parts)
}

fn test(found: &TestBlock) -> Node {
    let stmts = found.stmts.iter().map(|line| match line {
        TestStmt::Stmt(line) => stmt(line),
        TestStmt::Expect { claim, within, .. } => {
            let mut parts = vec![expr(claim)];
            parts.extend(
                within
                    .as_ref()
                    .map(|within| node("within", vec![expr(within)])),
            );
            node("expect", parts)
        }
    });
    node(format!("test {}", quoted(&found.name)), stmts.collect())
}

fn snapshot(found: &Snapshot) -> Node {
    let mut parts = vec![expr(&found.model)];
    parts.extend(
        found
            .mode
            .as_ref()
            .map(|mode| leaf(format!("mode {}", mode.text))),
    );
    parts.push(node(
        "show",
        found
            .show
            .iter()
            .map(|word| leaf(word.text.clone()))
            .collect(),
    ));
    node(format!("snapshot {}", quoted(&found.name)), parts)
}

fn train(found: &TrainBlock) -> Node {
    let items = found.items.iter().map(train_item).collect();
    node(
        format!("train {} on {}", found.name.text, found.model.text),
        items,
    )
}

fn train_item(item: &TrainItem) -> Node {
    match item {
        TrainItem::Setting(found) => setting(found),
        TrainItem::Task { name, weight, body } => {
            let mut parts: Vec<_> = weight
                .iter()
                .map(|weight| node("weight", vec![expr(weight)]))
                .collect();
            parts.push(block("body", body));
            node(format!("task {}", name.text), parts)
        }
        TrainItem::Stage { name, items } => node(
            format!("stage {}", name.text),
            items.iter().map(train_item).collect(),
        ),
    }
}

fn probe(found: &ProbeBlock) -> Node {
    let word = if found.intervene {
        "intervene"
    } else {
        "probe"
    };
    let stmts = found.stmts.iter().map(probe_stmt).collect();
    node(
        format!("{word} {} on {}", found.name.text, found.model.text),
        stmts,
    )
}

fn probe_stmt(stmt: &ProbeStmt) -> Node {
    match stmt {
        ProbeStmt::Run(name, value) => node(format!("run {}", name.text), vec![expr(value)]),
        ProbeStmt::Capture(name, target) => {
            node(format!("capture {}", name.text), vec![leaf(path(target))])
        }
        ProbeStmt::Set(target, value, then) => {
            let mut parts = vec![expr(value)];
            parts.extend(then.as_ref().map(|then| node("then", vec![expr(then)])));
            node(format!("set {}", path(target)), parts)
        }
        ProbeStmt::Scale(target, value) => {
            node(format!("scale {}", path(target)), vec![expr(value)])
        }
        ProbeStmt::Add(target, value) => node(format!("add {}", path(target)), vec![expr(value)]),
        ProbeStmt::Project(target, value) => {
            node(format!("project {}", path(target)), vec![expr(value)])
        }
        ProbeStmt::Patch(target, run) => leaf(format!("patch {} from {}", path(target), run.text)),
        ProbeStmt::Freeze(target, run) => {
            leaf(format!("freeze {} from {}", path(target), run.text))
        }
        ProbeStmt::Cut(target, domain) => node(format!("cut {}", path(target)), vec![expr(domain)]),
        ProbeStmt::Score(name, axes, value) => {
            let axes: Vec<_> = axes.iter().map(|axis| axis.text.as_str()).collect();
            node(
                format!("score {}[{}]", name.text, axes.join(", ")),
                vec![expr(value)],
            )
        }
    }
}
