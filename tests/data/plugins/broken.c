/* Plugins that break the border, one for each value of BROKEN; tests build them and see what the host says. */
#include "girih_plugin.h"

#include <stdlib.h>
#include <string.h>

enum {
    NONE, WRONG_MAJOR, NO_QUERY, QUERY_NULL, NEWER_TABLE, SMALL_TABLE, HUGE_TABLE, NO_NOTE, OTHER_NOTE, NULL_SOURCE,
    BAD_UTF8, NULL_GET, UNKNOWN_NEED, INIT_FAILS, INIT_STRAY_STATUS, HUGE_COUNT, NULL_OPS, NULL_OP, SMALL_OP, NULL_NAME,
    BAD_NAME, TWICE, NULL_PREPARE, NULL_RUN, PREPARE_FAILS, HUGE_WORKSPACE, ODD_ALIGN, RUN_FAILS, RUN_STRAY_STATUS,
    UNSUPPORTED, ENDLESS_NEEDS, COUNTS
};

#ifndef GIRIH_TEST_ID
#define GIRIH_TEST_ID "org.example.broken"
#endif

#ifdef WRONG_TARGET
#undef GIRIH_TARGET
#define GIRIH_TARGET "vax-vms"
#endif
#ifdef FUTURE
#undef GIRIH_MAJOR
#define GIRIH_MAJOR 9
#endif

#ifndef WITHOUT_NOTE
GIRIH_NOTE(note, GIRIH_TEST_ID, "1.0.0", "MIT", "https://example.org", GIRIH_OPS);
#endif

static girih_note other = {{0}, 0, 0, 0, 0, 0, 0, "x", "x", "x", "x", "x", "x"};

/* COUNTS: how often it began and ended. */
static int begun, ended;

static girih_status prepare(void *self, const girih_spec *spec, girih_prepared *out) {
    (void)self;
    if (BROKEN == PREPARE_FAILS) return spec->host->error(spec->host, GIRIH_INTERNAL, "no luck");
    if (BROKEN == UNSUPPORTED) return spec->host->error(spec->host, GIRIH_UNSUPPORTED, "not today");
    if (BROKEN == HUGE_WORKSPACE) out->workspace_bytes = UINT64_MAX;
    if (BROKEN == ODD_ALIGN) out->workspace_align = 3;
    return NULL;
}

static girih_status run(void *kernel, const girih_call *call) {
    (void)kernel;
    if (BROKEN == RUN_FAILS) return call->host->error(call->host, GIRIH_INVALID, NULL);
    if (BROKEN == RUN_STRAY_STATUS) return (girih_status)&other;
    const float *x = call->operands[0].data;
    float *y = call->results[0].data;
    for (int64_t i = 0; i < call->results[0].shape[0]; i++) y[i] = 2 * x[i];
    if (BROKEN == COUNTS) y[0] = (float)begun, y[1] = (float)ended;
    return NULL;
}

static girih_op op = {sizeof op, 0, "twice", prepare, run, NULL
#if GIRIH_MINOR >= 1
    , NULL
#endif
};
static const girih_op *all[2] = {&op, &op};
static girih_ops ops = {sizeof ops, 1, all};

static girih_status init(const girih_host *host, void **self) {
    *self = &begun;
    begun++;
    if (BROKEN == INIT_FAILS) return host->error(host, GIRIH_INTERNAL, "the moon is not full");
    if (BROKEN == INIT_STRAY_STATUS) return (girih_status)&other;
    return NULL;
}

static void deinit(void *self) {
    if (self == &begun) ended++;
}

static const void *get(void *self, const char *capability) {
    (void)self;
    return strcmp(capability, GIRIH_OPS) == 0 ? &ops : NULL;
}

static const char *const unknown[] = {"girih.teleport/7", NULL};
static const char *endless[128];
static girih_plugin plugin;

#define query_name girih_plugin_query
#ifdef WITHOUT_QUERY
#undef query_name
#define query_name another_name
GIRIH_EXPORT
#endif
const girih_plugin *query_name(const girih_host_info *host) {
    int minor = girih_negotiate(host);
    if (minor < 0 || BROKEN == QUERY_NULL) return NULL;
    memset(&plugin, 0, sizeof plugin);
    plugin.struct_size = sizeof plugin;
    plugin.major = GIRIH_MAJOR;
    plugin.minor = (uint16_t)minor;
#ifndef WITHOUT_NOTE
    plugin.note = &note;
#endif
    plugin.source = "@native\nfn twice(x: f32[n]) -> f32[n] = 2 * x\n";
    plugin.init = init;
    plugin.deinit = deinit;
    plugin.get = get;
    switch (BROKEN) {
    case WRONG_MAJOR: plugin.major = 7; break;
    case NEWER_TABLE: plugin.minor = 99; break;
    case SMALL_TABLE: plugin.struct_size = 12; break;
    case HUGE_TABLE: plugin.struct_size = 0xffffffff; break;
    case NO_NOTE: plugin.note = NULL; break;
    case OTHER_NOTE: plugin.note = &other; break;
    case NULL_SOURCE: plugin.source = NULL; break;
    case BAD_UTF8: plugin.source = "fn \xff"; break;
    case NULL_GET: plugin.get = NULL; break;
    case UNKNOWN_NEED: plugin.needs = unknown; break;
    case ENDLESS_NEEDS:
        for (int i = 0; i < 128; i++) endless[i] = GIRIH_OPS;
        plugin.needs = endless;
        break;
    case HUGE_COUNT: ops.count = 0xffffffff; break;
    case NULL_OPS: ops.ops = NULL; break;
    case NULL_OP: all[0] = NULL; break;
    case SMALL_OP: op.struct_size = 8; break;
    case NULL_NAME: op.name = NULL; break;
    case BAD_NAME: op.name = "rm -rf"; break;
    case TWICE: ops.count = 2; break;
    case NULL_PREPARE: op.prepare = NULL; break;
    case NULL_RUN: op.run = NULL; break;
    default: break;
    }
    return &plugin;
}
