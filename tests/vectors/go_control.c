/* tests/vectors/go_control.c: which cases can be replayed, and what of a recording has to be otherwise here.
 *
 * Rules, each a condition on the case's own fields:
 *  - an id has 1 to 128 bytes: an empty one in an IDONTWANT is not kept;
 *  - an id is a duplicate for exactly 120 s, without waiting for a sweep: a copy that comes later is a new message.
 *    What follows from that is not compared;
 *  - a backoff of 0 s is the field left out, which tells the receiver the same: to take its own;
 *  - a signed peer record counts when the peer itself signed it: the record's peer is not dialled otherwise;
 *  - the test extension is received when its field is there, and not with every RPC of a peer that announced it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/crypto.h"
#include "tests/vectors/go_control.h"
#include "tests/vectors/vectors.h"

static const char *str(const json_t *j) { return json_string_value(j) ? json_string_value(j) : ""; }
static int64_t time_of(const json_t *step) { return json_integer_value(gc_at(step, 0)); }

/* ---- what is not built ---- */

static bool any_op(const json_t *c, const char *op) {
  json_t *step;
  size_t i;
  json_array_foreach(gc_get(c, "script"), i, step)
    if (strcmp(str(gc_at(step, 1)), op) == 0) return true;
  return false;
}

/* What the case needs that is not built; NULL: nothing. */
const char *gc_missing(const json_t *c) {
  if (any_op(c, "blacklist")) return "a blacklist";
  if (any_op(c, "connect_in") || any_op(c, "connect_out")) return "streams in one direction only";
  return NULL;
}

/* ---- rules ---- */

static int64_t end_of(const json_t *c) { return json_integer_value(gc_get(c, "end")); }

static size_t empty_ids(gc_arena *a, const json_t *c, const char *peer, int64_t until) {
  json_t *step, *ids, *id;
  size_t i, k, x, n = 0;
  json_array_foreach(gc_get(c, "script"), i, step) {
    gc_list names = gc_names(a, gc_at(step, 2));
    if (time_of(step) > until || !gc_has(&names, peer)) continue;
    json_array_foreach(gc_get(gc_at(step, 3), "idontwant"), k, ids)
      json_array_foreach(ids, x, id) n += json_string_length(id) == 0;
  }
  return n;
}

static void without_empty_ids(gc_arena *a, const json_t *c, json_t *e, bool *ruled) {
  const char *peer;
  json_t *n, *unwanted = gc_get(gc_get(e, "state"), "unwanted");
  json_object_foreach(unwanted, peer, n) {
    size_t empty = empty_ids(a, c, peer, json_integer_value(gc_get(e, "t")));
    if (empty) *ruled = true;
    (void)json_integer_set(n, json_integer_value(n) - (json_int_t)empty);
  }
}

/* [topic, 0, …] anywhere under a "prune" becomes [topic, null, …]. */
static void without_zero_backoff(json_t *j, bool prunes, bool *ruled) {
  json_t *v;
  const char *key;
  size_t i;
  if (prunes && json_is_string(gc_at(j, 0)) && json_is_integer(gc_at(j, 1)) && json_integer_value(gc_at(j, 1)) == 0) {
    (void)json_array_set_new(j, 1, json_null());
    *ruled = true;
  }
  json_array_foreach(j, i, v) without_zero_backoff(v, prunes, ruled);
  json_object_foreach(j, key, v) without_zero_backoff(v, strcmp(key, "prune") == 0, ruled);
}

/* Whether the record of this peer, in a PRUNE of the script, is one that the peer did not sign. */
static bool bad_record(gc_arena *a, const json_t *c, const char *name) {
  json_t *step, *prune, *px;
  size_t i, k, x;
  json_array_foreach(gc_get(c, "script"), i, step)
    json_array_foreach(gc_get(gc_at(step, 3), "prune"), k, prune)
      json_array_foreach(gc_at(prune, 2), x, px) {
        msub_peer_record r;
        if (strcmp(str(gc_at(px, 0)), name) != 0 || json_array_size(px) < 3) continue;
        msub_bytes id = gc_hex(a, str(gc_at(px, 1))), record = gc_hex(a, str(gc_at(px, 2)));
        if (msub_peer_record_open(record, id, &r) != MSUB_OK) return true;
      }
  return false;
}

static void without_bad_records(gc_arena *a, const json_t *c, json_t *e, bool *ruled) {
  json_t *line;
  size_t i, k;
  json_array_foreach(gc_get(e, "trace"), i, line) {
    if (strcmp(str(gc_at(line, 0)), "dial") != 0) continue;
    gc_list names = gc_names(a, gc_at(line, 1));
    json_t *left = json_array();
    for (k = 0; k < names.n; k++) {
      if (bad_record(a, c, names.s[k])) *ruled = true;
      else (void)json_array_append_new(left, json_string(names.s[k]));
    }
    (void)json_array_set_new(line, 1, left);
  }
}

/* Whether an RPC of the peer at this instant has the field of the test extension. */
static bool has_test_field(gc_arena *a, const json_t *c, const char *peer, int64_t t) {
  json_t *step;
  size_t i;
  json_array_foreach(gc_get(c, "script"), i, step) {
    gc_list names = gc_names(a, gc_at(step, 2));
    if (time_of(step) == t && gc_has(&names, peer) && gc_get(gc_at(step, 3), "test_ext")) return true;
  }
  return false;
}

static void without_test_calls(gc_arena *a, const json_t *c, json_t *e, bool *ruled) {
  json_t *line, *left = json_array(), *trace = gc_get(e, "trace");
  size_t i;
  if (!trace) {
    json_decref(left);
    return;
  }
  json_array_foreach(trace, i, line) {
    bool is = strcmp(str(gc_at(line, 0)), "test_ext_received") == 0;
    gc_list names = gc_names(a, gc_at(line, 1));
    GC_MUST(!is || names.n == 1);
    if (is && !has_test_field(a, c, names.s[0], json_integer_value(gc_get(e, "t")))) *ruled = true;
    else (void)json_array_append(left, line);
  }
  (void)json_object_set_new(e, "trace", left);
}

/* The first duplicate that comes 120 s after the id was new becomes a delivery; *until: the instant of it. */
static void exact_life(gc_arena *a, const json_t *c, json_t *expect, int64_t *until, bool *ruled) {
  json_t *step, *m, *e, *line;
  gc_list ids = { NULL, 0, 0 };
  int64_t *since = gc_alloc(a, 1024 * sizeof *since);
  size_t i, k, x;
  json_array_foreach(gc_get(c, "script"), i, step)
    json_array_foreach(gc_get(gc_at(step, 3), "publish"), k, m) {
      const char *id = str(gc_at(m, 1));
      for (x = 0; x < ids.n && strcmp(ids.s[x], id) != 0; x++) {}
      if (x == ids.n) {
        GC_MUST(x < 1024);
        gc_add(a, &ids, id);
        since[x] = time_of(step);
      }
      if (time_of(step) < since[x] + 120000) continue;
      size_t n;
      json_array_foreach(expect, n, e) {
        if (json_integer_value(gc_get(e, "t")) != time_of(step)) continue;
        size_t at;
        json_array_foreach(gc_get(e, "trace"), at, line) {
          if (strcmp(str(gc_at(line, 0)), "duplicate") != 0 || strcmp(str(gc_at(line, 1)), id) != 0) continue;
          (void)json_array_set_new(line, 0, json_string("deliver"));
          *until = time_of(step);
          *ruled = true;
          return;
        }
      }
      since[x] = time_of(step); /* the reference delivered it again, too */
    }
}

/* What was recorded, as it has to be here. */
json_t *gc_by_rules(gc_arena *a, const json_t *c, int64_t *until, bool *ruled) {
  json_t *expect = json_deep_copy(gc_get(c, "expect")), *e;
  size_t i;
  *until = end_of(c);
  *ruled = false;
  exact_life(a, c, expect, until, ruled);
  json_array_foreach(expect, i, e) {
    without_empty_ids(a, c, e, ruled);
    without_bad_records(a, c, e, ruled);
    without_test_calls(a, c, e, ruled);
    if (json_integer_value(gc_get(gc_get(gc_get(c, "config"), "params"), "PruneBackoff_ms")) == 0 &&
        gc_get(gc_get(gc_get(c, "config"), "params"), "PruneBackoff_ms"))
      without_zero_backoff(e, false, ruled);
  }
  return expect;
}
