"""The workloads of `examples/bench` in torch and transformers.

Every function makes one workload at any size: the tensors under the names that the model file gives them, and
one callable for each way to compute it. The first way is the plain one; `goldens.py` takes its result as the truth.
Random numbers come from torch's generator, so seed it before.
"""

import math
from dataclasses import dataclass, field
from typing import Callable

import torch
import torch.nn.functional as F


@dataclass
class Work:
    """One workload: tensors by girih's names, and ways to compute it, the plain one first."""

    inputs: dict
    ways: dict[str, Callable]
    params: dict = field(default_factory=dict)
    # What the model file's `golden` block reads from the golden file's configuration.
    config: dict = field(default_factory=dict)
    # Of a whole model.
    module: torch.nn.Module | None = None
    # Of attention: `hidden(i, j)` says which keys a query does not read, `score` is as `flex_attention` takes it.
    hidden: Callable | None = None
    score: Callable | None = None


def normal(*shape):
    return torch.randn(*shape)


def between(low, high, *shape):
    return low + (high - low) * torch.rand(*shape)


def unbatched(call, *tensors):
    """The peers' libraries want a batch axis in front."""
    with_batch = [tensor[None] for tensor in tensors]
    return lambda: call(*with_batch)[0]


# Recurrences, one step after another as their papers write them.


def selective_scan(t=1024, d=1536, n=16):
    u, dt, A, D = normal(t, d), between(0, 1, t, d), between(-1, 0, d, n), normal(d)
    B, C = normal(t, n), normal(t, n)

    def loop():
        state, out = torch.zeros(d, n), []
        for i in range(t):
            state = torch.exp(dt[i, :, None] * A) * state + (dt[i] * u[i])[:, None] * B[i]
            out.append(state @ C[i])
        return torch.stack(out) + D * u

    return Work({"u": u, "dt": dt, "B": B, "C": C}, {"torch loop": loop}, {"A": A, "D": D}, {"d": d, "n": n})


def mamba2_ssd(t=1024, h=24, p=64, n=128, chunk=64):
    x, a, B, C = normal(t, h, p), between(-1, 0, t, h), normal(t, n), normal(t, n)

    def loop():
        state, out = torch.zeros(h, p, n), []
        for i in range(t):
            state = torch.exp(a[i])[:, None, None] * state + x[i][..., None] * B[i]
            out.append(state @ C[i])
        return torch.stack(out)

    def chunked():
        c, q = t // chunk, chunk
        xs, Bs, Cs = x.view(c, q, h, p), B.view(c, q, n), C.view(c, q, n)
        total = a.view(c, q, h).permute(0, 2, 1).cumsum(-1)  # c h q
        apart = total[..., :, None] - total[..., None, :]
        later = torch.ones(q, q, dtype=torch.bool).triu(1)
        decay = apart.masked_fill(later, -math.inf).exp()
        within = torch.einsum("chij,cjhp->cihp", (Cs @ Bs.transpose(1, 2))[:, None] * decay, xs)
        rest = (total[..., -1:] - total).exp()  # to the end of the chunk
        added = torch.einsum("cjn,chj,cjhp->chpn", Bs, rest, xs)
        whole, state, before = total[..., -1].exp(), torch.zeros(h, p, n), []
        for i in range(c):
            before.append(state)
            state = whole[i, :, None, None] * state + added[i]
        across = torch.einsum("cin,chpn,chi->cihp", Cs, torch.stack(before), total.exp())
        return (within + across).reshape(t, h, p)

    ways = {"torch loop": loop} if t % chunk else {"torch chunked": chunked, "torch loop": loop}
    return Work({"x": x, "a": a, "B": B, "C": C}, ways, config={"h": h, "p": p, "n": n})


def lstm(t=1024, d=512, h=512, batch=None):
    x = normal(t, d) if batch is None else normal(batch, t, d)
    module = torch.nn.LSTM(d, h, batch_first=True)
    run = (lambda: module(x)[0]) if batch else unbatched(lambda x: module(x)[0], x)
    params = {
        "cell.W_x": module.weight_ih_l0,
        "cell.W_h": module.weight_hh_l0,
        "cell.b": module.bias_ih_l0 + module.bias_hh_l0,
    }
    return Work({"x": x}, {"torch.nn.LSTM": run}, params, {"d": d, "h": h})


def rwkv6(t=1024, h=12, e=64, f=64):
    r, k, v, w, u = normal(h, t, e), normal(h, t, e), normal(h, t, f), between(0.9, 1, h, t, e), normal(h, e)

    def loop():
        state, out = torch.zeros(h, e, f), []
        for i in range(t):
            kv = k[:, i, :, None] * v[:, i, None]
            out.append((r[:, i, None] @ (state + u[..., None] * kv))[:, 0])
            state = w[:, i, :, None] * state + kv
        return torch.stack(out, 1)

    return Work({"r": r, "k": k, "v": v, "w": w}, {"torch loop": loop}, {"u": u}, {"h": h, "e": e, "f": f})


def linear_attention(t=1024, h=8, e=64, f=64, chunk=64):
    q, k, v = normal(h, t, e), normal(h, t, e), normal(h, t, f)

    def whole():
        return (q @ k.mT).tril() @ v

    def chunked():
        qs, ks, vs = (z.view(h, t // chunk, chunk, -1) for z in (q, k, v))
        after = (ks.mT @ vs).cumsum(1)
        before = F.pad(after[:, :-1], (0, 0, 0, 0, 1, 0))
        return (qs @ before + (qs @ ks.mT).tril() @ vs).reshape(h, t, f)

    ways = {"torch whole": whole} if t % chunk else {"torch chunked": chunked, "torch whole": whole}
    return Work({"q": q, "k": k, "v": v}, ways, config={"h": h, "e": e, "f": f})


# A uniform draw from ± this has about length 1 over 64 features.
UNIT = 0.2165


def delta_rule(t=1024, h=8, e=64, f=64):
    q, k, v, beta = normal(h, t, e), between(-UNIT, UNIT, h, t, e), normal(h, t, f), between(0, 1, h, t)

    def loop():
        state, out = torch.zeros(h, e, f), []
        for i in range(t):
            key = k[:, i, :, None]
            held = (key * state).sum(1)
            state = state + key * (beta[:, i, None] * (v[:, i] - held))[:, None]
            out.append((q[:, i, None] @ state)[:, 0])
        return torch.stack(out, 1)

    inputs = {"q": q, "k": k, "v": v, "beta": beta}
    return Work(inputs, {"torch loop": loop}, config={"h": h, "e": e, "f": f})


def gated_delta(t=1024, h=8, e=64, f=64, chunk=64):
    from transformers.models.qwen3_next import modeling_qwen3_next as qwen

    q, k, v = normal(t, h, e), between(-UNIT, UNIT, t, h, e), normal(t, h, f)
    g, beta = between(-0.1, 0, t, h), between(0, 1, t, h)
    call = lambda q, k, v, g, beta: qwen.torch_chunk_gated_delta_rule(q, k, v, g, beta, chunk_size=chunk)[0]
    inputs = {"q": q, "k": k, "v": v, "g": g, "beta": beta}
    ways = {"transformers chunked": unbatched(call, *inputs.values())}
    return Work(inputs, ways, config={"h": h, "e": e, "f": f})


def mamba1(t=1024, d=768):
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer

    config = MambaConfig(hidden_size=d, state_size=16, time_step_rank=d // 16, num_hidden_layers=1)
    module, u = MambaMixer(config, 0).eval(), normal(t, d)
    ways = {"transformers MambaMixer": unbatched(module, u)}
    return Work({"u": u}, ways, {f"mixer.{path}": tensor for path, tensor in module.state_dict().items()}, {"d": d})


# Attention.


def attention(hidden, t, h, e, config, causal=False):
    """`hidden(i, j)` says which keys a query does not read."""
    q, k, v = normal(h, t, e), normal(h, t, e), normal(h, t, e)
    i, j = torch.arange(t)[:, None], torch.arange(t)[None]
    mask = torch.zeros(t, t).masked_fill(hidden(i, j), -math.inf)
    sdpa = F.scaled_dot_product_attention
    ways = {"torch sdpa, mask": unbatched(lambda q, k, v: sdpa(q, k, v, attn_mask=mask), q, k, v)}
    if causal:
        own = {"torch sdpa, is_causal": unbatched(lambda q, k, v: sdpa(q, k, v, is_causal=True), q, k, v)}
        ways = own | ways
    return Work({"q": q, "k": k, "v": v}, ways, config={"h": h, "e": e} | config, hidden=hidden)


def attention_causal(t=2048, h=8, e=64):
    return attention(lambda i, j: j > i, t, h, e, {}, causal=True)


def attention_window(t=2048, h=8, e=64, window=256):
    return attention(lambda i, j: (j > i) | (i - j >= window), t, h, e, {"window": window})


def attention_prefix(t=2048, h=8, e=64, prefix=512):
    return attention(lambda i, j: (j > i) & (j >= prefix), t, h, e, {"prefix": prefix})


def attention_documents(t=2048, h=8, e=64, length=300):
    return attention(lambda i, j: (j > i) | (i // length != j // length), t, h, e, {"length": length})


def attention_alibi(t=2048, h=8, e=64, cap=30.0):
    q, k, v, slope = normal(h, t, e), normal(h, t, e), normal(h, t, e), torch.rand(h)
    i, j = torch.arange(t)[:, None], torch.arange(t)[None]

    def plain():
        scores = q @ k.mT / math.sqrt(e) + slope[:, None, None] * (j - i)
        return (cap * torch.tanh(scores / cap)).masked_fill(j > i, -math.inf).softmax(-1) @ v

    def score(s, b, h, i, j):
        return cap * torch.tanh((s + slope[h] * (j - i)) / cap)

    inputs, config = {"q": q, "k": k, "v": v}, {"h": h, "e": e, "cap": cap}
    return Work(inputs, {"torch eager": plain}, {"slope": slope}, config, hidden=lambda i, j: j > i, score=score)


def flex(work):
    """`flex_attention` compiled for the mask, and for the scores if there are such: needs a C++ compiler."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    q, k, v = (work.inputs[name][None] for name in "qkv")
    t = q.shape[2]
    block = create_block_mask(lambda b, h, i, j: ~work.hidden(i, j), None, None, t, t, device="cpu")
    call = torch.compile(lambda q, k, v: flex_attention(q, k, v, score_mod=work.score, block_mask=block), dynamic=False)
    call(q, k, v)
    return lambda: call(q, k, v)[0]


# Feed-forward.


def moe(t=512, d=512, ff=1024, experts=8, active=2):
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    x, ways = normal(t, d), {}
    state = None
    for way in ("eager", "grouped_mm", "batched_mm"):
        config = MixtralConfig(
            hidden_size=d, intermediate_size=ff, num_local_experts=experts, num_experts_per_tok=active
        )
        config._experts_implementation = way
        module = MixtralSparseMoeBlock(config).eval()
        if state is None:
            for parameter in module.parameters():
                parameter.normal_(0, 0.02)
            state = module.state_dict()
        module.load_state_dict(state)
        first = lambda found: found[0] if isinstance(found, tuple) else found
        ways[f"transformers Mixtral, {way}"] = unbatched(lambda x, module=module: first(module(x)), x)
    params = {"router.weight": state["gate.weight"]}
    for i in range(experts):
        gate, up = state["experts.gate_up_proj"][i].chunk(2)
        parts = {"gate": gate, "up": up, "down": state["experts.down_proj"][i]}
        params |= {f"ffn.{i}.{name}.weight": part for name, part in parts.items()}
    return Work({"x": x}, ways, params, {"d": d, "ff": ff, "experts": experts, "active": active})


def elementwise(t=128, d=3072):
    x, gate, bias = normal(t, d), normal(t, d), normal(d)
    run = lambda: F.gelu(x + bias, approximate="tanh") * gate
    return Work({"x": x, "gate": gate}, {"torch eager": run}, {"bias": bias}, {"d": d})


# Whole models, with random weights.


def renamed(state, names):
    """Tensors under girih's names: each old part is replaced in turn; a name with `None` is left out."""
    found = {}
    for path, tensor in state.items():
        for old, new in names:
            if old in path:
                path = None if new is None else path.replace(old, new)
            if path is None:
                break
        if path is not None:
            found[path] = tensor
    return found


def minilm(t=128, batch=1, vocab=30522, ctx=512, d=384, depth=6, heads=12, ff=1536):
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=vocab, max_position_embeddings=ctx, hidden_size=d, num_hidden_layers=depth,
        num_attention_heads=heads, intermediate_size=ff, attn_implementation="sdpa",
    )
    module = BertModel(config, add_pooling_layer=False).eval()
    ids = torch.randint(0, vocab, (batch, t))
    names = [
        ("embeddings.word_embeddings.weight", "word"), ("embeddings.position_embeddings.weight", "position"),
        ("embeddings.token_type_embeddings.weight", "kind"), ("embeddings.LayerNorm", "norm"),
        ("embeddings.position_ids", None), ("embeddings.token_type_ids", None), ("encoder.layer", "layers"),
        ("attention.self.query", "attn.q"), ("attention.self.key", "attn.k"), ("attention.self.value", "attn.v"),
        ("attention.output.dense", "attn.o"), ("attention.output.LayerNorm", "attn_norm"),
        ("intermediate.dense", "mlp.up"), ("output.dense", "mlp.down"), ("output.LayerNorm", "mlp_norm"),
    ]
    sizes = {"vocab": vocab, "ctx": ctx, "d": d, "depth": depth, "heads": heads, "ff": ff}
    run = lambda: module(input_ids=ids).last_hidden_state
    params = renamed(module.state_dict(), names)
    return Work({"ids": ids}, {"transformers BertModel": run}, params, sizes, module)


def gpt2(t=512, vocab=50257, ctx=1024, d=768, depth=12, heads=12):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocab, n_positions=ctx, n_embd=d, n_layer=depth, n_head=heads, attn_implementation="sdpa"
    )
    module, ids = GPT2LMHeadModel(config).eval(), torch.randint(0, vocab, (1, t))
    state = renamed(module.state_dict(), [("lm_head", None), ("transformer.", ""), ("wte.weight", "wte"), ("wpe.weight", "wpe")])
    turned = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")
    state = {path: tensor.T if path.endswith(turned) else tensor for path, tensor in state.items()}
    run = lambda: module(ids, use_cache=False, logits_to_keep=1).logits[:, 0]
    sizes = {"vocab": vocab, "ctx": ctx, "d": d, "depth": depth, "heads": heads}
    return Work({"ids": ids}, {"transformers GPT2LMHeadModel": run}, state, sizes, module)


def smollm2(t=512, vocab=49152, d=576, depth=30, heads=9, groups=3, ff=1536, base=100000.0):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab, hidden_size=d, intermediate_size=ff, num_hidden_layers=depth, num_attention_heads=heads,
        num_key_value_heads=groups, max_position_embeddings=8192, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": base}, attn_implementation="sdpa",
    )
    module, ids = LlamaForCausalLM(config).eval(), torch.randint(0, vocab, (1, t))
    names = [
        ("lm_head", None), ("rotary_emb", None), ("model.embed_tokens.weight", "embed"),
        ("model.", ""), ("self_attn", "attn"), ("_proj", ""), ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "mlp_norm"),
    ]
    run = lambda: module(ids, use_cache=False, logits_to_keep=1).logits[:, 0]
    sizes = {"vocab": vocab, "d": d, "depth": depth, "heads": heads, "groups": groups, "ff": ff, "base": base}
    params = renamed(module.state_dict(), names)
    return Work({"ids": ids}, {"transformers LlamaForCausalLM": run}, params, sizes, module)


# Name of the model file, and sizes at which its numbers are compared.
WORKLOADS = {
    "minilm": (minilm, dict(t=5, batch=2, vocab=11, ctx=8, d=8, depth=2, heads=2, ff=12)),
    "gpt2": (gpt2, dict(t=5, vocab=11, ctx=8, d=8, depth=2, heads=2)),
    "smollm2": (smollm2, dict(t=5, vocab=11, d=16, depth=2, heads=4, groups=2, ff=12)),
    "selective_scan": (selective_scan, dict(t=7, d=6, n=4)),
    "mamba1": (mamba1, dict(t=7, d=16)),
    "mamba2_ssd": (mamba2_ssd, dict(t=8, h=3, p=4, n=5, chunk=4)),
    "lstm": (lstm, dict(t=7, d=4, h=3)),
    "rwkv6": (rwkv6, dict(t=7, h=2, e=3, f=4)),
    "delta_rule": (delta_rule, dict(t=7, h=2, e=3, f=4)),
    "gated_delta": (gated_delta, dict(t=8, h=2, e=3, f=4, chunk=4)),
    "linear_attention": (linear_attention, dict(t=8, h=2, e=3, f=4, chunk=4)),
    "moe": (moe, dict(t=6, d=8, ff=12, experts=4, active=2)),
    "attention_causal": (attention_causal, dict(t=9, h=2, e=4)),
    "attention_alibi": (attention_alibi, dict(t=9, h=2, e=4, cap=3.0)),
    "attention_window": (attention_window, dict(t=9, h=2, e=4, window=3)),
    "attention_prefix": (attention_prefix, dict(t=9, h=2, e=4, prefix=4)),
    "attention_documents": (attention_documents, dict(t=9, h=2, e=4, length=4)),
    "elementwise": (elementwise, dict(t=4, d=6)),
}
