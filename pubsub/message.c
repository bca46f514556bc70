/* pubsub/message.c: messages and control parts as blocks of their own. */
#include "pubsub/engine.h"
#include "pubsub/rpc_wire.h"
#include <string.h>

#define MAX_OFFSET 0xffffffu
_Static_assert(sizeof(msub_msg) == 28, "many are cached");
_Static_assert(MSUB__RPC_BYTES_MAX <= MAX_OFFSET + 1, "a message is shorter than the RPC that it came in");
static uint32_t offset(const msub_msg_view *v, msub_bytes field) {
  return field.n ? (uint32_t)(field.p - v->raw.p) : 0;
}

bool msub__msg_borrow(msub_msg_borrowed *b, const msub_msg_view *v, uint32_t name) {
  if (v->from.n > UINT8_MAX || v->seqno.n > UINT8_MAX || v->raw.n > MAX_OFFSET) return false;
  *b = (msub_msg_borrowed){ { .refs = 1, .wire_n = (uint32_t)v->raw.n, .topic_name = name & MAX_OFFSET, .borrowed = true }, v->raw.p };
  msub_msg *m = &b->m;
  m->data_at = offset(v, v->data) & MAX_OFFSET;
  m->data_n = v->data.n & MAX_OFFSET;
  m->from_at = offset(v, v->from) & MAX_OFFSET;
  m->from_n = v->from.n & UINT8_MAX;
  m->seqno_at = offset(v, v->seqno) & MAX_OFFSET;
  m->seqno_n = v->seqno.n & UINT8_MAX;
  m->present = v->present & 0x7fu;
  return true;
}

uint8_t msub__id_fn(msub_engine *e, const msub__topic *t) {
  msub_channel c;
  const msub_channel_policy *p = MSUB__HOOK(e, t, message_id, &c);
  msub_shared *sh = e->sh;
  if (!p) return MSUB__ID_DEFAULT;
  for (uint32_t i = 0; i < sh->n_id_fns; i++)
    if (sh->id_fns[i] == p->message_id) return (uint8_t)(i + 1);
  if (sh->n_id_fns == MSUB__ID_NOBODY - 1) return MSUB__ID_NOBODY;
  if (sh->n_id_fns == sh->cap_id_fns) {
    uint32_t cap = sh->cap_id_fns ? sh->cap_id_fns * 2 : 4;
    msub__id_fn_ptr *more = msub__realloc(&sh->mem, sh->id_fns, sh->cap_id_fns * sizeof *more, cap * sizeof *more);
    if (!more) return MSUB__ID_NOBODY;
    sh->id_fns = more;
    sh->cap_id_fns = cap;
  }
  sh->id_fns[sh->n_id_fns++] = p->message_id;
  return (uint8_t)sh->n_id_fns;
}

size_t msub__message_id(msub_engine *e, const msub__topic *t, const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  msub_channel c;
  if (t->id_fn != MSUB__ID_DEFAULT) {
    const msub_channel_policy *p = t->id_fn == MSUB__ID_NOBODY ? MSUB__HOOK(e, t, message_id, &c) : NULL;
    size_t n = (p ? p->message_id : e->sh->id_fns[t->id_fn - 1])(m, out);
    if (n <= MSUB_MAX_ID) return n;
    p = MSUB__HOOK(e, t, message_id, &c);
    msub__fault(e, msub__policy_name(p), "message_id answered an id longer than 128 bytes");
    return 0;
  }
  size_t n = (size_t)m->from_n + m->seqno_n;
  if (n > MSUB_MAX_ID) return 0;
  if (m->from_n) memcpy(out, msub_wire(m) + m->from_at, m->from_n);
  if (m->seqno_n) memcpy(out + m->from_n, msub_wire(m) + m->seqno_at, m->seqno_n);
  return n;
}

static size_t msg_bytes(const msub_msg *m) { return sizeof *m + m->wire_n + m->id_n; }

const msub_msg *msub__msg_new(msub_shared *sh, const msub_msg *like, uint8_t id_fn, msub_bytes id) {
  if (id.n > MSUB_MAX_ID) return NULL;
  msub_msg head = *like;
  head.refs = 1;
  head.id_n = id.n & UINT8_MAX;
  head.id_fn = id_fn;
  head.borrowed = false;
  msub_msg *m = msub__alloc(&sh->mem, msg_bytes(&head));
  if (!m) return NULL;
  uint8_t *wire = (uint8_t *)(m + 1);
  *m = head;
  if (like->wire_n) memcpy(wire, msub_wire(like), like->wire_n);
  if (id.n) memcpy(wire + like->wire_n, id.p, id.n);
  msub__intern_ref(&sh->names, head.topic_name);
  sh->messages++;
  return m;
}

const msub_msg *msub_msg_hold(const msub_msg *m) {
  if (m->borrowed) return NULL;
  msub__msg_mutable(m)->refs++;
  return m;
}

void msub_msg_drop(msub_shared *sh, const msub_msg *m) {
  if (!m || m->borrowed) return;
  MSUB__INVARIANT(m->refs > 0);
  if (--msub__msg_mutable(m)->refs) return;
  sh->messages--;
  msub__intern_drop(&sh->names, &sh->mem, &sh->key, m->topic_name);
  msub__free(&sh->mem, msub__msg_mutable(m), msg_bytes(m));
}

/* ---- control ---- */

/* One block: head, entries, views of ids and of px, the encoded fields, the bytes that the views show. Of a shared entry only the
 * entry: it holds the block that the views are in. */
typedef struct ctl_block { msub_ctl c; size_t n; } ctl_block;

static size_t view_bytes(const msub_ctl_entry *e, size_t n, size_t *ids, size_t *px) {
  size_t bytes = 0;
  *ids = *px = 0;
  for (size_t i = 0; i < n; i++) {
    if (msub__ctl_is_shared(&e[i])) continue;
    *ids += e[i].n_ids;
    *px += e[i].n_px;
    for (uint32_t k = 0; k < e[i].n_ids; k++) bytes += e[i].ids[k].n;
    for (uint32_t k = 0; k < e[i].n_px; k++) bytes += e[i].px[k].peer_id.n + e[i].px[k].record.n;
  }
  return bytes;
}

static msub_bytes copy(uint8_t **to, msub_bytes b) {
  msub_bytes out = { *to, b.n };
  *to = msub__wr_bytes(*to, b);
  return out;
}

const msub_ctl *msub__ctl_new(msub_shared *sh, const msub_ctl_entry *e, size_t n) {
  if (n == 1 && msub__ctl_is_shared(e)) return msub_ctl_hold(e->of);
  msub_bytes few[MSUB__SEND_SUBSCRIPTIONS], *names = few;
  size_t ids, px, bytes = view_bytes(e, n, &ids, &px);
  few[0] = (msub_bytes){ NULL, 0 }; /* for n = 0 */
  if (n > UINT32_MAX) return NULL;
  if (n > MSUB__SEND_SUBSCRIPTIONS && !(names = msub__zalloc(&sh->mem, n, sizeof *names))) return NULL;
  for (size_t i = 0; i < n; i++) names[i] = msub__intern_bytes(&sh->names, e[i].topic_name);
  size_t wire_n = msub_ctl_encode(e, names, n, NULL, 0);
  size_t all = sizeof(ctl_block) + n * sizeof *e + ids * sizeof(msub_bytes) + px * sizeof(msub_px) + wire_n + bytes;
  ctl_block *b = wire_n <= UINT32_MAX ? msub__alloc(&sh->mem, all) : NULL;
  if (b) {
    msub_ctl_entry *entries = (msub_ctl_entry *)(void *)(b + 1);
    msub_bytes *id = (msub_bytes *)(void *)(entries + n);
    msub_px *p = (msub_px *)(void *)(id + ids);
    uint8_t *wire = (uint8_t *)(p + px), *at = wire + wire_n;
    msub_ctl_encode(e, names, n, wire, wire_n);
    for (size_t i = 0; i < n; i++) {
      entries[i] = e[i];
      if (e[i].topic_name) msub__intern_ref(&sh->names, e[i].topic_name);
      if (msub__ctl_is_shared(&e[i])) {
        (void)msub_ctl_hold(e[i].of);
        continue;
      }
      entries[i].of = NULL;
      entries[i].ids = id;
      entries[i].px = p;
      for (uint32_t k = 0; k < e[i].n_ids; k++) *id++ = copy(&at, e[i].ids[k]);
      for (uint32_t k = 0; k < e[i].n_px; k++, p++) {
        p->peer_id = copy(&at, e[i].px[k].peer_id);
        p->record = copy(&at, e[i].px[k].record);
      }
    }
    *b = (ctl_block){ { .refs = 1, .n = (uint32_t)n, .e = entries, .wire = wire, .wire_n = (uint32_t)wire_n }, all };
    sh->controls++;
  }
  if (names != few) msub__free(&sh->mem, names, n * sizeof *names);
  return b ? &b->c : NULL;
}

const msub_ctl *msub__ctl_shared(msub_shared *sh, const msub_ctl_entry *e) {
  const msub_ctl *c = msub__ctl_new(sh, e, 1);
  if (c) ((msub_ctl_entry *)(uintptr_t)c->e)->of = c; /* its own: no reference */
  return c;
}

const msub_ctl *msub_ctl_hold(const msub_ctl *c) {
  ((msub_ctl *)(uintptr_t)c)->refs++;
  return c;
}

void msub_ctl_drop(msub_shared *sh, const msub_ctl *c) {
  if (!c) return;
  MSUB__INVARIANT(c->refs > 0);
  if (--((msub_ctl *)(uintptr_t)c)->refs) return;
  for (size_t i = 0; i < c->n; i++) {
    msub__intern_drop(&sh->names, &sh->mem, &sh->key, c->e[i].topic_name);
    if (c->e[i].of != c) msub_ctl_drop(sh, c->e[i].of); /* at most one deep: a shared one has no other's */
  }
  sh->controls--;
  ctl_block *b = (ctl_block *)(uintptr_t)c;
  msub__free(&sh->mem, b, b->n);
}
