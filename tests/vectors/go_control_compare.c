/* By items: what a peer got in an instant, whatever RPCs it came in; of the order only what the recorded RPCs say. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "tests/vectors/go_control.h"

typedef struct where { gc_arena *a; gc_spread *spread; int64_t t; } where;

static const char *str(const json_t *j) { return json_string_value(j) ? json_string_value(j) : ""; }

/* The first line that only one of the lists has. */
static const char *differ(gc_arena *a, gc_list *ours, gc_list *theirs) {
  size_t i = 0, k = 0;
  gc_sort(ours);
  gc_sort(theirs);
  while (i < ours->n || k < theirs->n) {
    int c = i == ours->n ? 1 : k == theirs->n ? -1 : strcmp(ours->s[i], theirs->s[k]);
    if (c < 0) return gc_text(a, "unexpected: %s", ours->s[i]);
    if (c > 0) return gc_text(a, "missing: %s", theirs->s[k]);
    i++;
    k++;
  }
  return NULL;
}

/* ---- RPCs ---- */

static gc_list lines(gc_arena *a, const gc_items *items) {
  gc_list l = { NULL, 0, 0 };
  for (size_t i = 0; i < items->n; i++)
    gc_add(a, &l, gc_text(a, "%s gets %s", items->i[i].peer, gc_item_text(a, &items->i[i])));
  return l;
}

static bool same_item(const gc_item *x, const gc_item *y) {
  return strcmp(x->peer, y->peer) == 0 && strcmp(x->kind, y->kind) == 0 && strcmp(x->what, y->what) == 0 &&
         strcmp(x->more, y->more) == 0;
}

/* What was recorded in a later RPC to the peer is in no earlier one of ours. The lists hold the same items. */
static const char *out_of_order(gc_arena *a, const gc_items *ours, const gc_items *theirs) {
  const gc_item **mine = gc_alloc(a, theirs->n * sizeof *mine);
  bool *used = gc_alloc(a, ours->n);
  unsigned rpcs = 0;
  for (size_t i = 0; i < theirs->n; i++) rpcs = theirs->i[i].rpc > rpcs ? theirs->i[i].rpc : rpcs;
  if (rpcs == 0) return NULL;
  for (size_t i = 0; i < theirs->n; i++)
    for (size_t k = 0; k < ours->n && !mine[i]; k++)
      if (!used[k] && same_item(&theirs->i[i], &ours->i[k])) {
        mine[i] = &ours->i[k];
        used[k] = true;
      }
  for (size_t i = 0; i < theirs->n; i++)
    for (size_t k = 0; k < theirs->n; k++)
      if (strcmp(theirs->i[i].peer, theirs->i[k].peer) == 0 && theirs->i[i].rpc < theirs->i[k].rpc &&
          mine[i]->rpc > mine[k]->rpc)
        return gc_text(a, "%s gets %s before %s", mine[i]->peer, gc_item_text(a, mine[k]), gc_item_text(a, mine[i]));
  return NULL;
}

static const char *compare_rpcs(gc_arena *a, const gc_items *ours, const json_t *recorded) {
  gc_items theirs = { NULL, 0, 0 };
  json_t *entry, *rpc;
  size_t i, k;
  json_array_foreach(recorded, i, entry) {
    gc_list peers = gc_names(a, gc_at(entry, 0));
    for (size_t p = 0; p < peers.n; p++)
      json_array_foreach(gc_at(entry, 1), k, rpc) gc_items_of_json(a, rpc, peers.s[p], (unsigned)k, &theirs);
  }
  gc_list x = lines(a, ours), y = lines(a, &theirs);
  const char *why = differ(a, &x, &y);
  return why ? why : out_of_order(a, ours, &theirs);
}

/* ---- what is chosen at random ---- */

/* What was chosen at random: `n` of `among`, always those of `always`. */
typedef struct chosen { json_int_t min, max; gc_list among, always; } chosen;

static chosen chosen_of(gc_arena *a, const json_t *e, const char *count) {
  const json_t *n = gc_get(e, count);
  bool range = json_is_array(n);
  return (chosen){ json_integer_value(range ? gc_at(n, 0) : n), json_integer_value(range ? gc_at(n, 1) : n),
                   gc_names(a, gc_get(e, "among")), gc_names(a, gc_get(e, "always")) };
}

static gc_list copy(gc_arena *a, const gc_list *l) {
  gc_list out = { NULL, 0, 0 };
  for (size_t i = 0; i < l->n; i++) gc_add(a, &out, gc_text(a, "%s", l->s[i]));
  return out;
}

/* Notes who was chosen, so that the choices of all seeds can be looked at together. */
static void note_choice(const where *w, const char *what, const gc_list *got, const chosen *c) {
  gc_spread *s = w->spread;
  gc_arena *a = &s->arena;
  const char *key = gc_text(a, "at %" PRId64 ": %s", w->t, what);
  size_t i = 0;
  while (i < s->n && strcmp(s->of[i].what, key) != 0) i++;
  GC_MUST(i < sizeof s->of / sizeof *s->of);
  if (i == s->n) {
    s->n++;
    s->of[i] = (gc_choices){ .what = key, .among = copy(a, &c->among), .always = copy(a, &c->always),
                             .every = copy(a, got) };
  }
  for (size_t k = 0; k < got->n; k++)
    if (!gc_has(&s->of[i].ever, got->s[k])) gc_add(a, &s->of[i].ever, gc_text(a, "%s", got->s[k]));
  gc_list both = { NULL, 0, 0 };
  for (size_t k = 0; k < s->of[i].every.n; k++)
    if (gc_has(got, s->of[i].every.s[k])) gc_add(a, &both, s->of[i].every.s[k]);
  s->of[i].every = both;
}

const char *gc_compare_spread(gc_spread *s) {
  for (size_t i = 0; i < s->n; i++) {
    const char *why = differ(&s->arena, &s->of[i].ever, &s->of[i].among);
    if (why) return gc_text(&s->arena, "%s: of those chosen ever, %s", s->of[i].what, why);
    why = differ(&s->arena, &s->of[i].every, &s->of[i].always);
    if (why) return gc_text(&s->arena, "%s: of those chosen always, %s", s->of[i].what, why);
  }
  return NULL;
}

static const char *within(const where *w, const char *what, const gc_list *got, const chosen *c) {
  gc_arena *a = w->a;
  if ((json_int_t)got->n < c->min || (json_int_t)got->n > c->max)
    return gc_text(a, "%s: %zu peers instead of %" JSON_INTEGER_FORMAT, what, got->n, c->min);
  for (size_t i = 0; i < got->n; i++)
    if (!gc_has(&c->among, got->s[i])) return gc_text(a, "%s: %s should not be among them", what, got->s[i]);
  for (size_t i = 0; i < c->always.n; i++)
    if (!gc_has(got, c->always.s[i])) return gc_text(a, "%s: %s is not among them", what, c->always.s[i]);
  note_choice(w, what, got, c);
  return NULL;
}

/* ---- choices among RPCs ---- */

/* What a peer got of one kind: ids and px peers are counted. */
typedef struct lot { const char *peer, *key; gc_list ids; bool counted, matched; } lot;
typedef struct lots { lot *l; size_t n; } lots;

static bool counts_ids(const char *kind) {
  return strcmp(kind, "ihave") == 0 || strcmp(kind, "iwant") == 0 || strcmp(kind, "idontwant") == 0;
}

static void split(gc_arena *a, const char *s, gc_list *out) {
  while (*s) {
    size_t n = strcspn(s, " ");
    gc_add(a, out, gc_text(a, "%.*s", (int)n, s));
    s += n + (s[n] != 0);
  }
}

static lots lots_of(gc_arena *a, const gc_items *items) {
  lots out = { gc_alloc(a, items->n * sizeof(lot)), 0 };
  for (size_t i = 0; i < items->n; i++) {
    const gc_item *it = &items->i[i];
    bool ids = counts_ids(it->kind);
    const char *key = gc_text(a, "%s%s%s", it->kind, *it->what ? " " : "", it->what);
    size_t k = 0;
    while (k < out.n && !(ids && strcmp(out.l[k].peer, it->peer) == 0 && strcmp(out.l[k].key, key) == 0)) k++;
    bool counted = ids || strcmp(it->kind, "prune") == 0;
    if (k == out.n) out.l[out.n++] = (lot){ .peer = it->peer, .key = key, .counted = counted };
    if (ids) gc_add(a, &out.l[k].ids, it->more);
    else if (out.l[k].counted) split(a, it->more, &out.l[k].ids);
  }
  for (size_t k = 0; k < out.n; k++)
    if (out.l[k].counted) out.l[k].key = gc_text(a, "%s %zu", out.l[k].key, out.l[k].ids.n);
  return out;
}

typedef struct choice {
  const char *key;
  chosen peers;
  json_int_t ids; /* how many; -1: it is not about ids */
  gc_list set, subset;
  bool has_set, has_subset;
} choice;

static const char *word(gc_arena *a, const json_t *j) {
  if (json_is_integer(j)) return gc_text(a, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
  if (json_is_boolean(j)) return json_is_true(j) ? "true" : "false";
  return json_is_null(j) ? "null" : str(j);
}

static const char *words(gc_arena *a, const json_t *item, size_t n) {
  const char *s = word(a, gc_at(item, 0));
  for (size_t i = 1; i < n; i++) s = gc_text(a, "%s %s", s, word(a, gc_at(item, i)));
  return s;
}

static void append(gc_arena *a, gc_list *to, gc_list from) {
  for (size_t i = 0; i < from.n; i++) gc_add(a, to, from.s[i]);
}

/* Several entries of ids for one topic (or none) that the same peers always got are one: how ids are parted is
 * grouping. */
static size_t choices_of(gc_arena *a, const json_t *recorded, choice *out) {
  json_t *e;
  size_t i, n = 0, k;
  json_array_foreach(recorded, i, e) {
    const json_t *item = gc_get(e, "item"), *set = gc_get(e, "set"), *subset = gc_get(e, "subset_of");
    size_t parts = json_array_size(item);
    bool ids = counts_ids(str(gc_at(item, 0)));
    choice c = { .key = words(a, item, ids ? parts - 1 : parts),
                 .ids = ids ? json_integer_value(gc_at(item, parts - 1)) : -1,
                 .peers = chosen_of(a, e, "peers"), .set = gc_names(a, set), .subset = gc_names(a, subset),
                 .has_set = set, .has_subset = subset };
    for (k = 0; k < n && !(ids && strcmp(out[k].key, c.key) == 0); k++) {}
    if (k < n) {
      const chosen *x = &out[k].peers, *y = &c.peers;
      GC_MUST(x->among.n == x->always.n && y->among.n == x->among.n && y->always.n == y->among.n);
      GC_MUST(c.has_set && out[k].has_set);
      out[k].ids += c.ids;
      append(a, &out[k].set, c.set);
      continue;
    }
    out[n++] = c;
  }
  for (k = 0; k < n; k++)
    if (out[k].ids >= 0) out[k].key = gc_text(a, "%s %" JSON_INTEGER_FORMAT, out[k].key, out[k].ids);
  return n;
}

static const char *compare_choice(const where *w, const gc_items *ours, const json_t *recorded) {
  gc_arena *a = w->a;
  choice *c = gc_alloc(a, json_array_size(recorded) * sizeof *c);
  size_t n = choices_of(a, recorded, c);
  lots got = lots_of(a, ours);
  for (size_t i = 0; i < n; i++) {
    gc_list peers = { NULL, 0, 0 };
    const char *why = NULL;
    for (size_t k = 0; k < got.n && !why; k++) {
      lot *l = &got.l[k];
      if (strcmp(l->key, c[i].key) != 0) continue;
      l->matched = true;
      gc_add(a, &peers, l->peer);
      for (size_t x = 0; x < l->ids.n; x++)
        if (c[i].has_subset && !gc_has(&c[i].subset, l->ids.s[x]))
          why = gc_text(a, "%s: %s holds %s", c[i].key, l->peer, l->ids.s[x]);
      if (c[i].has_subset && !why)
        note_choice(w, gc_text(a, "what is in %s", c[i].key), &l->ids, &(chosen){ .among = c[i].subset });
      if (c[i].has_set && !why) why = differ(a, &l->ids, &c[i].set);
    }
    if (!why) why = within(w, c[i].key, &peers, &c[i].peers);
    if (why) return why;
  }
  for (size_t k = 0; k < got.n; k++)
    if (!got.l[k].matched) return gc_text(a, "unexpected: %s gets %s", got.l[k].peer, got.l[k].key);
  return NULL;
}

/* ---- traces ---- */

/* One line for each time that it happened. */
static gc_list lines_of_trace(gc_arena *a, const json_t *recorded) {
  gc_list out = { NULL, 0, 0 };
  json_t *e;
  size_t i;
  json_array_foreach(recorded, i, e) {
    const char *what = str(gc_at(e, 0));
    bool first = json_is_array(gc_at(e, 1)); /* [what, [peers], ...] or [what, id, [peers], ...] */
    gc_list peers = gc_names(a, gc_at(e, first ? 1 : 2));
    if (strcmp(what, "publish_error") == 0) {
      gc_add(a, &out, words(a, e, 3));
      continue;
    }
    for (size_t k = 0; k < peers.n; k++) {
      if (strcmp(what, "drop") == 0) {
        gc_items dropped = { NULL, 0, 0 };
        gc_items_of_json(a, gc_at(e, 2), "", 0, &dropped);
        for (size_t x = 0; x < dropped.n; x++)
          gc_add(a, &out, gc_text(a, "drop %s %s", peers.s[k], gc_item_text(a, &dropped.i[x])));
        continue;
      }
      const char *id = first ? "" : gc_text(a, "%s ", str(gc_at(e, 1)));
      const char *line = gc_text(a, "%s %s%s", what, id, peers.s[k]);
      for (size_t x = first ? 2 : 3; x < json_array_size(e); x++)
        line = gc_text(a, "%s %s", line, word(a, gc_at(e, x)));
      gc_add(a, &out, line);
    }
  }
  return out;
}

static const char *compare_trace(const where *w, const gc_list *trace, const json_t *recorded, const json_t *choices) {
  gc_arena *a = w->a;
  gc_list left = *trace, theirs = lines_of_trace(a, recorded);
  json_t *e;
  size_t i;
  json_array_foreach(choices, i, e) {
    const char *what = gc_text(a, "%s ", str(gc_get(e, "item")));
    gc_list got = { NULL, 0, 0 }, rest = { NULL, 0, 0 };
    chosen c = chosen_of(a, e, "count");
    for (size_t k = 0; k < left.n; k++) {
      size_t n = strlen(what);
      bool is = strncmp(left.s[k], what, n) == 0;
      const char *name = is ? gc_text(a, "%.*s", (int)strcspn(left.s[k] + n, " "), left.s[k] + n) : NULL;
      gc_add(a, is ? &got : &rest, is ? name : left.s[k]);
    }
    const char *why = within(w, what, &got, &c);
    if (why) return why;
    left = rest;
  }
  return differ(a, &left, &theirs);
}

/* ---- states ---- */

/* Peers of topics: recorded as lists, or as choices. */
static const char *compare_peers(const where *w, const char *what, json_t *ours, const json_t *recorded) {
  gc_arena *a = w->a;
  const char *name;
  json_t *r, *o;
  json_object_foreach(ours, name, o)
    if (!gc_get(recorded, name)) return gc_text(a, "unexpected: %s of \"%s\"", what, name);
  json_object_foreach((json_t *)(uintptr_t)recorded, name, r) {
    gc_list got = gc_names(a, gc_get(ours, name));
    const char *why;
    if (!gc_get(ours, name)) return gc_text(a, "missing: %s of \"%s\"", what, name);
    if (json_is_array(r)) {
      gc_list theirs = gc_names(a, r);
      why = differ(a, &got, &theirs);
    } else {
      chosen c = chosen_of(a, r, "count");
      why = within(w, gc_text(a, "%s of %s", what, name), &got, &c);
    }
    if (why) return gc_text(a, "%s of \"%s\": %s", what, name, why);
  }
  return NULL;
}

/* Lines "topic expiry peer". */
static const char *compare_backoff(const where *w, const json_t *ours, const json_t *recorded, const json_t *choices) {
  gc_arena *a = w->a;
  gc_list left = gc_names(a, ours), theirs = { NULL, 0, 0 };
  const char *name;
  json_t *list, *e;
  size_t i;
  json_array_foreach(choices, i, e) {
    const char *prefix = gc_text(a, "%s ", str(gc_get(e, "topic_expiry")));
    gc_list got = { NULL, 0, 0 }, rest = { NULL, 0, 0 };
    chosen c = chosen_of(a, e, "count");
    size_t n = strlen(prefix);
    for (size_t k = 0; k < left.n; k++) {
      bool is = strncmp(left.s[k], prefix, n) == 0;
      gc_add(a, is ? &got : &rest, is ? left.s[k] + n : left.s[k]);
    }
    const char *why = within(w, gc_text(a, "backoff of %s", prefix), &got, &c);
    if (why) return why;
    left = rest;
  }
  json_object_foreach((json_t *)(uintptr_t)recorded, name, list)
    json_array_foreach(list, i, e) {
      gc_list peers = gc_names(a, gc_at(e, 1));
      for (size_t k = 0; k < peers.n; k++)
        gc_add(a, &theirs,
               gc_text(a, "%s %" JSON_INTEGER_FORMAT " %s", name, json_integer_value(gc_at(e, 0)), peers.s[k]));
    }
  return differ(a, &left, &theirs);
}

/* [[score, [peers]]] against {peer: score}. Equal to 1e-12; what is not listed is 0. */
static const char *compare_scores(const where *w, const json_t *ours, const json_t *recorded) {
  json_t *e;
  size_t i, listed = 0;
  json_array_foreach(recorded, i, e) {
    gc_list peers = gc_names(w->a, gc_at(e, 1));
    double want = json_number_value(gc_at(e, 0));
    listed += peers.n;
    for (size_t k = 0; k < peers.n; k++) {
      double got = json_number_value(gc_get(ours, peers.s[k]));
      if (!(fabs(got - want) <= 1e-12 * fabs(want))) return gc_text(w->a, "%s has score %.17g instead of %.17g", peers.s[k], got, want);
    }
  }
  return listed == json_object_size(ours) ? NULL : "a score that should be 0";
}

static const char *compare_state(const where *w, const json_t *ours, const json_t *recorded) {
  gc_arena *a = w->a;
  static const char *const peers[] = { "mesh", "fanout", "topics" };
  const char *why = NULL;
  if (!ours) return "no sample";
  for (size_t i = 0; i < 3 && !why; i++)
    why = compare_peers(w, peers[i], gc_get(ours, peers[i]), gc_get(recorded, peers[i]));
  const json_t *backoff = gc_get(recorded, "backoff"), *choices = gc_get(recorded, "backoff_choice");
  if (!why) why = compare_backoff(w, gc_get(ours, "backoff"), backoff, choices);
  if (why) return why;
  json_t *unwanted = gc_get(recorded, "unwanted");
  if (unwanted ? !json_equal(unwanted, gc_get(ours, "unwanted")) : json_object_size(gc_get(ours, "unwanted")) > 0) {
    char *text = json_dumps(gc_get(ours, "unwanted"), JSON_COMPACT);
    why = gc_text(a, "unwanted ids: %s", text);
    free(text);
    return why;
  }
  return compare_scores(w, gc_get(ours, "score"), gc_get(recorded, "score"));
}

/* ---- a run ---- */

static bool known_key(const char *key) {
  static const char *const keys[] = { "t", "rpc", "choice", "rpcs", "trace", "trace_choice", "state" };
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (strcmp(key, keys[i]) == 0) return true;
  return false;
}

static const char *compare_instant(const where *w, const gc_instant *ours, const json_t *e) {
  gc_arena *a = w->a;
  const char *key, *why;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)e, key, value)
    GC_MUST(known_key(key));
  const json_t *choices = gc_get(e, "choice"), *state = gc_get(e, "state");
  why = choices ? compare_choice(w, &ours->sent, choices) : compare_rpcs(a, &ours->sent, gc_get(e, "rpc"));
  if (!why) why = compare_trace(w, &ours->trace, gc_get(e, "trace"), gc_get(e, "trace_choice"));
  if (!why && state) why = compare_state(w, ours->state, state);
  return why ? gc_text(a, "at %" PRId64 ": %s", ours->t, why) : NULL;
}

const char *gc_compare(gc_run *r, const json_t *expect, int64_t until, gc_spread *spread) {
  static const gc_instant nothing = { 0 };
  size_t i = 0, k = 0, n = json_array_size(expect);
  while (i < r->n || k < n) {
    const json_t *e = k < n ? gc_at(expect, k) : NULL;
    int64_t ours = i < r->n ? r->at[i].t : INT64_MAX, theirs = e ? json_integer_value(gc_get(e, "t")) : INT64_MAX;
    int64_t t = ours < theirs ? ours : theirs;
    if (t > until) break;
    gc_instant at = ours == t ? r->at[i] : nothing;
    at.t = t;
    const char *why = compare_instant(&(where){ &r->arena, spread, t }, &at, theirs == t ? e : NULL);
    if (why) return why;
    i += ours == t;
    k += theirs == t;
  }
  return NULL;
}
