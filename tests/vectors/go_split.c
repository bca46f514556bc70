/* tests/vectors/go_split.c: how an RPC is cut to the limits of frame and control, against go-libp2p-pubsub.
 *
 * Fragments are compared by number, order, size, what they hold and the hash of their canonical encoding. Rules:
 *  - nothing empty is sent: neither a fragment or a control with nothing in it nor a list without ids, except as
 *    the input has it and it fits;
 *  - partial and the test extension are never lost. Where the input has them and no fragment of go does, ours has
 *    them behind everything else;
 *  - a PRUNE that fits without its peers is not dropped: ours sends it with fewer of them, in the same place;
 *  - extensions come before subscriptions. Where go has these the other way round in different fragments, and
 *    where an IWANT or IDONTWANT without any id took room in one, what follows is packed differently: then the
 *    sums over all fragments are compared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/crypto.h"
#include "pubsub/rpc_split.h"
#include "tests/vectors/vectors.h"

/* ---- the input ---- */

#define MAX_ITEMS 65536u
typedef struct input {
  uint8_t *text; /* all bytes, in one block that only grows at the end */
  size_t text_n;
  msub_msg_borrowed msgs[1024];
  const msub_msg *msg_p[1024];
  msub_ctl_entry e[1024];
  msub_bytes names[1024], ids[MAX_ITEMS];
  msub_px px[1024];
  size_t n_ids, n_px, ihave_without_ids;
  bool empty_list; /* IWANTs, or IDONTWANTs, that have no id together */
  msub_rpc_part partial;
  msub__load load;
} input;
#define TEXT_MAX ((size_t)32 * 1024 * 1024)

static void need(bool ok) {
  if (ok) return;
  (void)fprintf(stderr, "rpc-split: an input that is larger than this runner expects\n");
  exit(2);
}
static size_t num(const json_t *list, size_t i) { return (size_t)json_integer_value(json_array_get(list, i)); }

/* Item i of a kind. */
static msub_bytes item(input *in, char letter, size_t i, size_t n) {
  need(n <= TEXT_MAX - in->text_n);
  uint8_t *p = in->text + in->text_n;
  char head[32];
  (void)snprintf(head, sizeof head, "%c%06zu", letter, i);
  memset(p, '.', n);
  memcpy(p, head, n < 7 ? n : 7);
  in->text_n += n;
  return (msub_bytes){ p, n };
}

static void add_messages(input *in, const json_t *runs) {
  size_t r;
  json_t *run;
  json_array_foreach(runs, r, run) {
    for (size_t i = 0; i < num(run, 0); i++) {
      size_t at = in->load.n_msgs++, begin = in->text_n;
      need(at < 1024);
      msub_msg_view v = { .data = item(in, 'm', at, num(run, 1)),
                          .topic = msub_str("t"),
                          .present = MSUB_HAS_DATA | MSUB_HAS_TOPIC };
      size_t n = msub_msg_encode(&v, NULL, 0);
      need(n <= TEXT_MAX - in->text_n);
      (void)msub_msg_encode(&v, in->text + in->text_n, n);
      memmove(in->text + begin, in->text + in->text_n, n); /* the data alone is not needed any more */
      in->msgs[at] = (msub_msg_borrowed){ { .wire_n = (uint32_t)n, .borrowed = true }, in->text + begin };
      in->msg_p[at] = &in->msgs[at].m;
      in->text_n = begin + n;
    }
  }
  in->load.msgs = in->msg_p;
}

/* Entries of one kind; `letter`: of their topics, 0: none. */
static void add_entries(input *in, const json_t *runs, uint8_t kind, char letter) {
  size_t r, at = 0, first_id = in->n_ids;
  json_t *run;
  json_array_foreach(runs, r, run) {
    for (size_t i = 0; i < num(run, 0); i++, at++) {
      size_t slot = in->load.n++;
      need(slot < 1024);
      msub_ctl_entry *e = &in->e[slot];
      *e = (msub_ctl_entry){ .kind = kind };
      in->names[slot] = letter ? item(in, letter, at, num(run, 1)) : (msub_bytes){ NULL, 0 };
      if (kind == MSUB_C_PRUNE) {
        e->backoff_s = 60;
        e->n_px = (uint16_t)num(run, 2);
        need(e->n_px <= 1024 - in->n_px);
        e->px = &in->px[in->n_px];
        for (size_t x = 0; x < e->n_px; x++) {
          msub_px *px = &in->px[in->n_px++];
          px->peer_id = item(in, 'x', x, 38);
          px->record = num(run, 3) ? item(in, 'r', x, num(run, 3)) : (msub_bytes){ NULL, 0 };
        }
      }
      if (kind != MSUB_C_IHAVE && kind != MSUB_C_IWANT && kind != MSUB_C_IDONTWANT) continue;
      size_t shift = kind == MSUB_C_IHAVE; /* its topic comes first */
      if (shift) {
        char topic[32];
        (void)snprintf(topic, sizeof topic, "topic%zu", num(run, 1));
        in->names[slot] = item(in, '.', 0, strlen(topic));
        memcpy(in->text + in->text_n - strlen(topic), topic, strlen(topic));
        in->ihave_without_ids += num(run, 2) == 0;
      }
      e->n_ids = (uint32_t)num(run, 1 + shift);
      e->ids = &in->ids[in->n_ids];
      need(e->n_ids <= MAX_ITEMS - in->n_ids);
      char l = kind == MSUB_C_IHAVE ? 'h' : kind == MSUB_C_IWANT ? 'w' : 'd';
      for (uint32_t x = 0; x < e->n_ids; x++, in->n_ids++)
        in->ids[in->n_ids] = item(in, l, in->n_ids - first_id, num(run, 2 + shift));
    }
  }
  if ((kind == MSUB_C_IWANT || kind == MSUB_C_IDONTWANT) && at > 0 && in->n_ids == first_id) in->empty_list = true;
}

static void build(input *in, const json_t *o) {
  add_messages(in, json_object_get(o, "publish"));
  add_entries(in, json_object_get(o, "subs"), MSUB_C_SUB, 's');
  add_entries(in, json_object_get(o, "graft"), MSUB_C_GRAFT, 'g');
  add_entries(in, json_object_get(o, "prune"), MSUB_C_PRUNE, 'p');
  add_entries(in, json_object_get(o, "iwant"), MSUB_C_IWANT, 0);
  add_entries(in, json_object_get(o, "ihave"), MSUB_C_IHAVE, 0);
  add_entries(in, json_object_get(o, "idontwant"), MSUB_C_IDONTWANT, 0);
  in->load.e = in->e;
  in->load.names = in->names;
  in->load.ext = in->load.ext_partial = json_is_true(json_object_get(o, "ext"));
  in->load.test = json_is_true(json_object_get(o, "test_ext"));
  json_t *partial = json_object_get(o, "partial");
  if (partial) {
    in->partial = (msub_rpc_part){ .kind = MSUB_P_PARTIAL,
                                   .topic = msub_str("t"),
                                   .group = msub_str("g"),
                                   .part_message = item(in, 'q', 0, (size_t)json_integer_value(partial)),
                                   .has_topic = true,
                                   .has_group = true,
                                   .has_part_message = true };
    in->load.partial = &in->partial;
  }
}

/* ---- ours, in the words of the file ---- */

static void count(json_t *o, const char *key, size_t n) {
  if (n) (void)json_object_set_new(o, key, json_integer((json_int_t)n));
}
static void append(json_t *o, const char *key, json_t *v) {
  json_t *list = json_object_get(o, key);
  if (!list) {
    list = json_array();
    (void)json_object_set_new(o, key, list);
  }
  (void)json_array_append_new(list, v);
}

typedef struct ours {
  json_t *fragments;
  bool sizes_ok; /* what was announced is what was encoded */
} ours;

static bool collect(void *ud, const msub__fragment *f) {
  ours *all = ud;
  const msub__load *l = &f->load;
  json_t *o = json_object();
  (void)json_object_set_new(o, "size", json_integer((json_int_t)f->size));
  (void)json_object_set_new(o, "control_size", json_integer((json_int_t)f->control_size));
  count(o, "publish", l->n_msgs);
  size_t n[MSUB_C_IDONTWANT + 1] = { 0 };
  for (size_t i = 0; i < l->n; i++) {
    const msub_ctl_entry *e = &l->e[i];
    n[e->kind]++;
    json_t *ids = json_integer(e->n_ids);
    if (e->kind == MSUB_C_IWANT) append(o, "iwant", json_incref(ids));
    if (e->kind == MSUB_C_IDONTWANT) append(o, "idontwant", json_incref(ids));
    if (e->kind == MSUB_C_IHAVE) {
      json_t *pair = json_array();
      (void)json_array_append_new(pair, json_stringn((const char *)l->names[i].p, l->names[i].n));
      (void)json_array_append(pair, ids);
      append(o, "ihave", pair);
    }
    json_decref(ids);
  }
  count(o, "subs", n[MSUB_C_SUB]);
  count(o, "graft", n[MSUB_C_GRAFT]);
  count(o, "prune", n[MSUB_C_PRUNE]);
  if (l->partial) (void)json_object_set_new(o, "partial", json_integer((json_int_t)l->partial->part_message.n));
  if (l->ext) (void)json_object_set_new(o, "ext", json_true());
  if (l->test) (void)json_object_set_new(o, "test_ext", json_true());
  if (f->too_large) (void)json_object_set_new(o, "dropped", json_true());

  msub_ctl ctl = { .wire_n = (uint32_t)msub__rest_encode(l, NULL, 0) };
  uint8_t *wire = malloc(ctl.wire_n + 1), *frame = malloc(f->size + 1), *canonical = malloc(f->size + 1);
  if (!wire || !frame || !canonical) abort();
  (void)msub__rest_encode(l, wire, ctl.wire_n);
  ctl.wire = wire;
  msub_rpc rpc = { .msgs = l->msgs, .n_msgs = l->n_msgs, .ctl = &ctl };
  size_t size = msub_rpc_size(&rpc), outside = (l->partial ? msub_partial_encode(l->partial, NULL, 0) : 0) +
                                               (l->test ? msub_test_encode(NULL, 0) : 0);
  all->sizes_ok &= size == f->size && ctl.wire_n - outside == f->control_size;
  if (size == f->size) {
    uint8_t hash[32];
    (void)msub_rpc_encode(&rpc, frame);
    size_t c = msub_rpc_canonical((msub_bytes){ frame, size }, canonical, size);
    all->sizes_ok &= c == size;
    msub_sha256((msub_bytes){ canonical, c }, hash);
    (void)json_object_set_new(o, "sha256", vec_hex((msub_bytes){ hash, 8 }));
  }
  free(wire);
  free(frame);
  free(canonical);
  (void)json_array_append_new(all->fragments, o);
  return true;
}

/* ---- the rules ---- */

static bool holds_something(json_t *f) {
  const char *key;
  json_t *v;
  json_object_foreach(f, key, v) {
    if (strcmp(key, "size") != 0 && strcmp(key, "control_size") != 0 && strcmp(key, "sha256") != 0 &&
        strcmp(key, "empty_control") != 0)
      return true;
  }
  return false;
}

static size_t get(const json_t *f, const char *key) { return (size_t)json_integer_value(json_object_get(f, key)); }
static void put(json_t *f, const char *key, size_t n) {
  (void)json_object_set_new(f, key, json_integer((json_int_t)n));
}
static bool is_dropped(const json_t *f) { return json_is_true(json_object_get(f, "dropped")); }

/* The fragment without some bytes; its hash is of other bytes then. */
static void shrink(json_t *f, size_t size, size_t control_size) {
  put(f, "size", get(f, "size") - size);
  put(f, "control_size", get(f, "control_size") - control_size);
  (void)json_object_del(f, "sha256");
}

/* Takes a list without ids from the end of a fragment of go. */
static bool strip_list(json_t *f, const char *key) {
  json_t *list = json_object_get(f, key), *last = json_array_get(list, json_array_size(list) - 1);
  if (json_array_size(list) == 0) return false;
  bool pair = json_is_array(last);
  if (json_integer_value(pair ? json_array_get(last, 1) : last) != 0) return false;
  size_t n = 2 + (pair ? 2 + json_string_length(json_array_get(last, 0)) : 0);
  (void)json_array_remove(list, json_array_size(list) - 1);
  if (json_array_size(list) == 0) (void)json_object_del(f, key);
  shrink(f, n, n);
  return true;
}

/* Whether PRUNE number i is within the limits without its peers. */
static bool prune_fits_bare(const input *in, size_t i, const msub__split_limits *lim) {
  for (size_t at = 0; at < in->load.n; at++) {
    if (in->e[at].kind != MSUB_C_PRUNE || i-- > 0) continue;
    msub_ctl_entry e = in->e[at];
    e.n_px = 0;
    size_t n = msub_ctl_encode(&e, &in->names[at], 1, NULL, 0);
    return n <= lim->frame_bytes && n <= lim->control_bytes;
  }
  return false;
}

/* A piece of n bytes that is not control, behind everything else. */
static void put_behind(json_t *want, const char *key, json_t *value, size_t n, size_t limit) {
  json_t *last = json_array_get(want, json_array_size(want) - 1);
  if (!last || is_dropped(last) || get(last, "size") + n > limit) {
    last = json_object();
    put(last, "size", 0);
    put(last, "control_size", 0);
    if (n > limit) (void)json_object_set_new(last, "dropped", json_true());
    (void)json_array_append_new(want, last);
  }
  put(last, "size", get(last, "size") + n);
  (void)json_object_set_new(last, key, value);
  (void)json_object_del(last, "sha256");
}

/* go's fragments as ours have to be. */
static json_t *by_rules(const input *in, const json_t *given, const msub__split_limits *lim, bool *ruled) {
  const bool whole = json_array_size(given) == 1; /* as the input has it */
  json_t *want = json_array(), *f;
  bool partial = false, test = false;
  size_t i, prunes = 0;
  json_array_foreach(given, i, f) {
    if (!holds_something(f)) {
      *ruled = true;
      continue;
    }
    json_t *copy = json_deep_copy(f);
    if (json_object_get(f, "empty_control")) {
      shrink(copy, 2, 1); /* go counts it as one byte */
      (void)json_object_del(copy, "empty_control");
      *ruled = true;
    }
    if (!whole) {
      *ruled |= strip_list(copy, "iwant");
      *ruled |= strip_list(copy, "idontwant");
      if (in->ihave_without_ids == 0) *ruled |= strip_list(copy, "ihave");
    }
    if (get(f, "prune") && is_dropped(f) && prune_fits_bare(in, prunes, lim)) {
      (void)json_object_del(copy, "dropped");
      (void)json_object_del(copy, "sha256");
      (void)json_object_set_new(copy, "px_cut", json_true());
      *ruled = true;
    }
    prunes += get(f, "prune");
    partial |= json_object_get(f, "partial") != NULL;
    test |= json_object_get(f, "test_ext") != NULL;
    (void)json_array_append_new(want, copy);
  }
  if (in->load.partial && !partial) {
    put_behind(want, "partial", json_integer((json_int_t)in->load.partial->part_message.n),
               msub_partial_encode(in->load.partial, NULL, 0), lim->frame_bytes);
    *ruled = true;
  }
  if (in->load.test && !test) {
    put_behind(want, "test_ext", json_true(), msub_test_encode(NULL, 0), lim->frame_bytes);
    *ruled = true;
  }
  return want;
}

/* Whether go's packing cannot be ours. */
static bool packed_differently(const input *in, const json_t *want) {
  size_t n = json_array_size(want), i = 0;
  while (i < n && json_object_get(json_array_get(want, i), "publish")) i++;
  return n > 1 && (in->empty_list || (in->load.ext && i < n && !json_object_get(json_array_get(want, i), "ext")));
}

/* What was sent and what was dropped, over all fragments. */
static json_t *totals(const json_t *fragments) {
  json_t *sent = json_object(), *dropped = json_object(), *f, *v, *entry;
  const char *key;
  size_t i, k;
  json_array_foreach(fragments, i, f) {
    json_t *to = is_dropped(f) ? dropped : sent;
    json_object_foreach(f, key, v) {
      if (strcmp(key, "size") == 0 || strcmp(key, "control_size") == 0 || strcmp(key, "sha256") == 0 ||
          strcmp(key, "px_cut") == 0 || strcmp(key, "dropped") == 0)
        continue;
      if (!json_is_array(v)) {
        put(to, key, get(to, key) + (json_is_true(v) ? 1 : (size_t)json_integer_value(v)));
        continue;
      }
      json_array_foreach(v, k, entry) {
        const char *name = json_is_array(entry) ? json_string_value(json_array_get(entry, 0)) : key;
        json_t *n = json_is_array(entry) ? json_array_get(entry, 1) : entry;
        put(to, name, get(to, name) + (size_t)json_integer_value(n));
      }
    }
  }
  return json_pack("{s:o,s:o}", "sent", sent, "dropped", dropped);
}

static bool within(const json_t *fragments, const msub__split_limits *lim) {
  json_t *f;
  size_t i;
  json_array_foreach(fragments, i, f) {
    bool fits = get(f, "size") <= lim->frame_bytes && get(f, "control_size") <= lim->control_bytes;
    if (fits == is_dropped(f)) return false;
  }
  return true;
}

/* One fragment; what a rule made void is not compared. */
static bool same(const json_t *got, const json_t *want) {
  json_t *g = json_deep_copy(got), *w = json_deep_copy(want);
  bool ok = true;
  if (!json_object_get(w, "sha256")) (void)json_object_del(g, "sha256");
  if (json_object_get(w, "px_cut")) {
    ok = get(g, "size") < get(w, "size");
    static const char *const void_keys[] = { "size", "control_size", "px_cut" };
    for (size_t i = 0; i < 3; i++) {
      (void)json_object_del(g, void_keys[i]);
      (void)json_object_del(w, void_keys[i]);
    }
  }
  ok &= json_equal(g, w) == 1;
  json_decref(g);
  json_decref(w);
  return ok;
}

static void run(vec_tally *t, const json_t *c) {
  input *in = calloc(1, sizeof *in);
  if (!in || !(in->text = malloc(TEXT_MAX))) abort();
  json_t *o = json_object_get(c, "input"), *f;
  build(in, o);
  msub__split_limits lim = { .frame_bytes = get(c, "limit"), .control_bytes = get(c, "control_limit") };
  ours all = { .fragments = json_array(), .sizes_ok = true };
  bool ruled = false, ok = msub__rpc_split(&in->load, &lim, collect, &all);
  json_t *want = by_rules(in, json_object_get(c, "fragments"), &lim, &ruled);

  msub_rpc whole = { .msgs = in->load.msgs, .n_msgs = in->load.n_msgs };
  size_t size = msub_rpc_size(&whole) + msub__rest_encode(&in->load, NULL, 0), i, bad = SIZE_MAX;
  ok &= json_is_true(json_object_get(o, "empty_control")) || size == get(c, "input_size");
  ok &= all.sizes_ok && within(all.fragments, &lim);
  if (packed_differently(in, want)) {
    json_t *a = totals(all.fragments), *b = totals(want);
    ok &= json_equal(a, b) == 1;
    ruled = true;
    json_decref(a);
    json_decref(b);
  } else {
    ok &= json_array_size(want) == json_array_size(all.fragments);
    json_array_foreach(want, i, f) {
      if (bad == SIZE_MAX && !same(json_array_get(all.fragments, i), f)) bad = i;
    }
    ok &= bad == SIZE_MAX;
  }
  if (ok && ruled) {
    t->cases++;
    t->by_rule++;
  } else {
    char *text = json_dumps(all.fragments, JSON_COMPACT);
    vec_case(t, c, ok, "fragment %zu differs (sizes %s), ours: %s", bad, all.sizes_ok ? "right" : "wrong", text);
    free(text);
  }
  json_decref(want);
  json_decref(all.fragments);
  free(in->text);
  free(in);
}

int main(void) {
  vec_tally t = { .file = "go/rpc-split.json" };
  json_t *root = vec_load(t.file), *c;
  size_t i;
  json_array_foreach(json_object_get(root, "cases"), i, c) run(&t, c);
  json_decref(root);
  return vec_end(&t);
}
