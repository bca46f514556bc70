#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/rpc.h"
#include "tests/vectors/go_control.h"

void gc_fail(const char *file, int line, const char *what) {
  (void)fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
  exit(2);
}

/* ---- arena ---- */

typedef struct gc_block { struct gc_block *before; } gc_block;

void *gc_alloc(gc_arena *a, size_t n) {
  gc_block *b = calloc(1, sizeof *b + n);
  GC_MUST(b);
  b->before = a->last;
  a->last = b;
  return b + 1;
}
void gc_free(gc_arena *a) {
  while (a->last) {
    gc_block *b = a->last;
    a->last = b->before;
    free(b);
  }
}
const char *gc_text(gc_arena *a, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  int n = vsnprintf(NULL, 0, fmt, args);
  va_end(args);
  GC_MUST(n >= 0);
  char *s = gc_alloc(a, (size_t)n + 1);
  va_start(args, fmt);
  (void)vsnprintf(s, (size_t)n + 1, fmt, args);
  va_end(args);
  return s;
}
bool gc_authors;
#define AUTHORED (MSUB_HAS_DATA | MSUB_HAS_TOPIC | MSUB_HAS_FROM | MSUB_HAS_SEQNO)

static const char *text_of(gc_arena *a, msub_bytes b) {
  return gc_text(a, "%.*s", (int)b.n, b.n ? (const char *)b.p : "");
}

/* Room for one more in a list of `cap` items. */
static void *grown(gc_arena *a, void *old, size_t n, size_t *cap, size_t item) {
  if (n < *cap) return old;
  *cap = *cap ? *cap * 2 : 8;
  void *p = gc_alloc(a, *cap * item);
  if (n) memcpy(p, old, n * item);
  return p;
}

/* ---- lists of names ---- */

void gc_add(gc_arena *a, gc_list *l, const char *s) {
  l->s = grown(a, l->s, l->n, &l->cap, sizeof *l->s);
  l->s[l->n++] = s;
}
static int by_text(const void *x, const void *y) { return strcmp(*(const char *const *)x, *(const char *const *)y); }
void gc_sort(gc_list *l) {
  if (l->n) qsort(l->s, l->n, sizeof *l->s, by_text);
}
bool gc_has(const gc_list *l, const char *s) {
  for (size_t i = 0; i < l->n; i++)
    if (strcmp(l->s[i], s) == 0) return true;
  return false;
}

static void unfold(gc_arena *a, gc_list *l, const char *s) {
  const char *open = strrchr(s, '[');
  unsigned first, last;
  char end;
  if (!open || sscanf(open, "[%u..%u%c", &first, &last, &end) != 3 || end != ']') {
    gc_add(a, l, s);
    return;
  }
  for (unsigned i = first; i <= last; i++) gc_add(a, l, gc_text(a, "%.*s%u", (int)(open - s), s, i));
}
gc_list gc_names(gc_arena *a, const json_t *j) {
  gc_list l = { NULL, 0, 0 };
  json_t *one;
  size_t i;
  if (json_is_string(j)) unfold(a, &l, json_string_value(j));
  json_array_foreach(j, i, one) unfold(a, &l, json_string_value(one));
  return l;
}

/* ---- peer ids ---- */

void gc_id_is(gc_arena *a, gc_ids *ids, const char *name, msub_bytes id) {
  if (gc_has(&ids->names, name)) return;
  ids->id = grown(a, ids->id, ids->names.n, &ids->cap, sizeof *ids->id);
  ids->id[ids->names.n] = id;
  gc_add(a, &ids->names, name);
}
msub_bytes gc_id_of(gc_arena *a, gc_ids *ids, const char *name) {
  const char *made = gc_text(a, "peer %s", name);
  gc_id_is(a, ids, name, msub_str(made));
  for (size_t i = 0;; i++)
    if (strcmp(ids->names.s[i], name) == 0) return ids->id[i];
}
const char *gc_name_of(gc_arena *a, const gc_ids *ids, msub_bytes id) {
  for (size_t i = 0; i < ids->names.n; i++)
    if (msub_bytes_eq(ids->id[i], id)) return ids->names.s[i];
  return gc_text(a, "(unknown peer of %zu bytes)", id.n);
}
msub_bytes gc_hex(gc_arena *a, const char *hex) {
  size_t n = strlen(hex) / 2;
  uint8_t *p = gc_alloc(a, n);
  for (size_t i = 0; i < n; i++) {
    unsigned byte;
    GC_MUST(sscanf(hex + 2 * i, "%2x", &byte) == 1);
    p[i] = (uint8_t)byte;
  }
  return (msub_bytes){ p, n };
}

/* ---- items ---- */

static void add(gc_arena *a, gc_items *out, gc_item i) {
  out->i = grown(a, out->i, out->n, &out->cap, sizeof *out->i);
  out->i[out->n++] = i;
}

const char *gc_item_text(gc_arena *a, const gc_item *i) {
  return gc_text(a, "%s%s%s%s%s", i->kind, *i->what ? " " : "", i->what, *i->more ? " " : "", i->more);
}

static const char *joined(gc_arena *a, gc_list l) {
  const char *s = "";
  gc_sort(&l);
  for (size_t i = 0; i < l.n; i++) s = i ? gc_text(a, "%s %s", s, l.s[i]) : l.s[0];
  return s;
}

static const char *str(const json_t *list, size_t i) {
  const char *s = json_string_value(gc_at(list, i));
  GC_MUST(s);
  return s;
}

static void items_of_key(gc_arena *a, const char *key, const json_t *value, gc_item like, gc_items *out) {
  json_t *e;
  size_t i;
  gc_item at = like;
  at.kind = key;
  json_array_foreach(value, i, e) {
    gc_list ids = { NULL, 0, 0 };
    if (strcmp(key, "subs") == 0) {
      at.kind = "sub";
      at.what = gc_text(a, "%s %s%s%s", str(e, 0), json_is_true(gc_at(e, 1)) ? "true" : "false",
                        json_is_true(gc_at(e, 2)) ? " requests" : "", json_is_true(gc_at(e, 3)) ? " supports" : "");
      add(a, out, at);
    } else if (strcmp(key, "ext") == 0) {
      at.what = json_string_value(e);
      add(a, out, at);
    } else if (strcmp(key, "publish") == 0) {
      at.what = gc_text(a, "%s %s", str(e, 0), str(e, 1));
      at.more = gc_text(a, "%" JSON_INTEGER_FORMAT, json_integer_value(gc_at(e, 2)));
      add(a, out, at);
    } else if (strcmp(key, "graft") == 0) {
      at.what = json_string_value(e);
      add(a, out, at);
    } else if (strcmp(key, "prune") == 0) {
      json_t *s = gc_at(e, 1);
      at.what = json_is_integer(s) ? gc_text(a, "%s %" JSON_INTEGER_FORMAT, str(e, 0), json_integer_value(s))
                                   : gc_text(a, "%s %s", str(e, 0), json_is_string(s) ? json_string_value(s) : "null");
      at.more = joined(a, gc_names(a, gc_at(e, 2)));
      add(a, out, at);
    } else if (strcmp(key, "ihave") == 0) {
      at.what = str(e, 0);
      ids = gc_names(a, gc_at(e, 1));
    } else {
      GC_MUST(strcmp(key, "iwant") == 0 || strcmp(key, "idontwant") == 0);
      ids = gc_names(a, e);
    }
    for (size_t k = 0; k < ids.n; k++) {
      at.more = ids.s[k];
      add(a, out, at);
    }
  }
}

void gc_items_of_json(gc_arena *a, const json_t *rpc, const char *peer, unsigned number, gc_items *out) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)rpc, key, value) {
    if (strcmp(key, "test_ext") == 0) add(a, out, (gc_item){ "test_ext", "", "", peer, number });
    else if (strcmp(key, "empty_control") != 0) /* nobody insists on it */
      items_of_key(a, key, value, (gc_item){ NULL, "", "", peer, number }, out);
  }
}

static const char *message_id(gc_arena *a, msub_bytes data) {
  size_t n = 0;
  while (n < data.n && data.p[n]) n++;
  return text_of(a, (msub_bytes){ data.p, n });
}

void gc_items_of_frame(gc_arena *a, const gc_ids *ids, msub_bytes frame, const char *peer, unsigned number,
                       gc_items *out) {
  msub_rpc_counts n;
  msub_rpc_iter it;
  msub_rpc_part p;
  GC_MUST(msub_rpc_scan(frame, NULL, &n) == MSUB_OK);
  msub_rpc_begin(&it, frame);
  while (msub_rpc_next(&it, &p) != MSUB_P_END) {
    const bool named = p.kind == MSUB_P_SUBSCRIPTION || p.kind == MSUB_P_IHAVE || p.kind == MSUB_P_GRAFT ||
                       p.kind == MSUB_P_PRUNE;
    gc_item at = { "unknown", named ? text_of(a, p.topic) : "", "", peer, number };
    bool each = false;
    switch (p.kind) {
    case MSUB_P_SUBSCRIPTION:
      at.kind = "sub";
      at.what = gc_text(a, "%s %s%s%s", at.what, p.subscribe ? "true" : "false", p.requests_partial ? " requests" : "",
                        p.sends_partial ? " supports" : "");
      break;
    case MSUB_P_EXTENSIONS:
      at.kind = "ext";
      if (p.ext_partial && p.ext_test) add(a, out, (gc_item){ "ext", "test", "", peer, number });
      at.what = p.ext_partial ? "partial" : p.ext_test ? "test" : "nothing";
      break;
    case MSUB_P_TEST: at.kind = "test_ext"; break;
    case MSUB_P_PARTIAL:
      at.kind = "partial";
      at.what = gc_text(a, "%s %s", text_of(a, p.topic), text_of(a, p.group));
      at.more = gc_text(a, "%zu %zu", p.part_message.n, p.parts_metadata.n);
      break;
    case MSUB_P_MESSAGE:
      at.kind = p.msg.present == (MSUB_HAS_DATA | MSUB_HAS_TOPIC) || (gc_authors && p.msg.present == AUTHORED) ? "publish" : "publish with forbidden fields";
      at.what = gc_text(a, "%s %s", text_of(a, p.msg.topic), message_id(a, p.msg.data));
      at.more = gc_text(a, "%zu", p.msg.data.n);
      break;
    case MSUB_P_GRAFT: at.kind = "graft"; break;
    case MSUB_P_PRUNE: {
      msub_px px;
      gc_list peers = { NULL, 0, 0 };
      while (msub_px_next(&p.px, &px)) gc_add(a, &peers, gc_name_of(a, ids, px.peer_id));
      at.kind = "prune";
      at.what = p.has_backoff ? gc_text(a, "%s %" PRIu64, at.what, p.backoff_s) : gc_text(a, "%s null", at.what);
      at.more = joined(a, peers);
      break;
    }
    case MSUB_P_IHAVE: at.kind = "ihave"; each = true; break;
    case MSUB_P_IWANT: at.kind = "iwant"; each = true; break;
    case MSUB_P_IDONTWANT: at.kind = "idontwant"; each = true; break;
    case MSUB_P_CONTROL: continue; /* its parts have come */
    default: break;
    }
    msub_bytes id;
    while (each && msub_ids_next(&p.ids, &id)) {
      at.more = text_of(a, id);
      add(a, out, at);
    }
    if (!each) add(a, out, at);
  }
}

#define TEST_FIELD 6492434u

/* ---- encoding, by hand: what comes in is not made by what is tested ---- */

typedef struct out { uint8_t *p; size_t n, cap; gc_arena *a; } out;

static void put(out *o, const void *p, size_t n) {
  if (o->n + n > o->cap) {
    uint8_t *bigger = gc_alloc(o->a, o->cap = (o->n + n) * 2);
    if (o->n) memcpy(bigger, o->p, o->n);
    o->p = bigger;
  }
  if (n) memcpy(o->p + o->n, p, n);
  o->n += n;
}
static void put_varint(out *o, uint64_t v) {
  uint8_t b[10];
  size_t n = 0;
  do {
    b[n] = (uint8_t)(v & 127);
    v >>= 7;
    if (v) b[n] |= 128;
    n++;
  } while (v);
  put(o, b, n);
}
static void put_number(out *o, unsigned field, uint64_t v) {
  put_varint(o, field << 3);
  put_varint(o, v);
}
static void put_bytes(out *o, unsigned field, msub_bytes b) {
  put_varint(o, field << 3 | 2);
  put_varint(o, b.n);
  put(o, b.p, b.n);
}
static void put_text(out *o, unsigned field, const char *s) { put_bytes(o, field, msub_str(s)); }
static void put_out(out *o, unsigned field, const out *inner) {
  put_bytes(o, field, (msub_bytes){ inner->p, inner->n });
}

static void put_ids(out *o, unsigned field, const json_t *ids) {
  gc_list l = gc_names(o->a, ids);
  for (size_t i = 0; i < l.n; i++) put_text(o, field, l.s[i]);
}

static void put_prune(out *o, gc_ids *ids, const json_t *e) {
  json_t *s = gc_at(e, 1), *px;
  size_t i;
  put_text(o, 1, str(e, 0));
  json_array_foreach(gc_at(e, 2), i, px) {
    out info = { .a = o->a };
    const char *name = str(px, 0);
    if (json_array_size(px) > 1) gc_id_is(o->a, ids, name, gc_hex(o->a, str(px, 1)));
    put_bytes(&info, 1, gc_id_of(o->a, ids, name));
    if (json_array_size(px) > 2) put_bytes(&info, 2, gc_hex(o->a, str(px, 2)));
    put_out(o, 2, &info);
  }
  if (json_is_integer(s)) put_number(o, 3, (uint64_t)json_integer_value(s));
  if (json_is_string(s)) put_number(o, 3, strtoull(json_string_value(s), NULL, 10));
}

static void put_publish(out *o, gc_ids *ids, const json_t *e) {
  out m = { .a = o->a };
  const char *id = str(e, 1);
  size_t n = (size_t)json_integer_value(gc_at(e, 2)), have = strlen(id);
  uint8_t *data = gc_alloc(o->a, n > have ? n : have);
  memcpy(data, id, have);
  if (json_array_size(e) > 3) put_bytes(&m, 1, gc_id_of(o->a, ids, str(e, 3)));
  put_bytes(&m, 2, (msub_bytes){ data, n > have ? n : have });
  if (json_array_size(e) > 3) put_bytes(&m, 3, (msub_bytes){ (const uint8_t *)"\0\0\0\0\0\0\0\1", 8 });
  put_text(&m, 4, str(e, 0));
  put_out(o, 2, &m);
}

msub_bytes gc_frame(gc_arena *a, gc_ids *ids, const json_t *rpc) {
  static const char *const control[] = { "ihave", "iwant", "graft", "prune", "idontwant" }; /* fields 1 to 5 */
  out o = { .a = a }, c = { .a = a };
  json_t *e;
  size_t i;
  bool has_control = gc_get(rpc, "empty_control") != NULL;
  json_array_foreach(gc_get(rpc, "subs"), i, e) {
    out s = { .a = a };
    put_number(&s, 1, json_is_true(gc_at(e, 1)));
    put_text(&s, 2, str(e, 0));
    if (json_array_size(e) == 4) { /* partial messages */
      put_number(&s, 3, json_is_true(gc_at(e, 2)));
      put_number(&s, 4, json_is_true(gc_at(e, 3)));
    } else GC_MUST(json_array_size(e) == 2);
    put_out(&o, 1, &s);
  }
  json_array_foreach(gc_get(rpc, "publish"), i, e) put_publish(&o, ids, e);
  for (unsigned k = 0; k < 5; k++) {
    json_t *list = gc_get(rpc, control[k]);
    has_control |= list != NULL;
    json_array_foreach(list, i, e) {
      out part = { .a = a };
      if (k == 0) {
        put_text(&part, 1, str(e, 0));
        put_ids(&part, 2, gc_at(e, 1));
      } else if (k == 2) put_text(&part, 1, json_string_value(e));
      else if (k == 3) put_prune(&part, ids, e);
      else put_ids(&part, 1, e);
      put_out(&c, k + 1, &part);
    }
  }
  json_t *ext = gc_get(rpc, "ext"), *partial = gc_get(rpc, "partial");
  if (ext) {
    out which = { .a = a };
    json_array_foreach(ext, i, e) {
      bool is_test = strcmp(json_string_value(e), "test") == 0;
      GC_MUST(is_test || strcmp(json_string_value(e), "partial") == 0);
      put_number(&which, is_test ? TEST_FIELD : 10, 1);
    }
    put_out(&c, 6, &which);
  }
  if (has_control || ext) put_out(&o, 3, &c);
  if (partial) {
    out p = { .a = a };
    for (unsigned k = 0; k < 4; k++)
      if (*str(partial, k)) put_text(&p, k + 1, str(partial, k));
    put_out(&o, 10, &p);
  }
  if (gc_get(rpc, "test_ext")) put_bytes(&o, TEST_FIELD, (msub_bytes){ NULL, 0 });
  return (msub_bytes){ o.p, o.n };
}
