#include "pubsub/engine.h"
#include <string.h>

static uint32_t offset(const msub_msg_view *v, msub_bytes field) {
  return field.n ? (uint32_t)(field.p - v->raw.p) : 0;
}

bool msub__msg_borrow(msub_msg *m, const msub_msg_view *v, uint32_t name) {
  if (v->from.n > UINT8_MAX || v->seqno.n > UINT8_MAX || v->topic.n > UINT16_MAX || v->raw.n > UINT32_MAX) return false;
  *m = (msub_msg){ .refs = 1, .topic_name = name, .wire = v->raw.p, .wire_n = (uint32_t)v->raw.n, .borrowed = true };
  m->data_at = offset(v, v->data);
  m->data_n = (uint32_t)v->data.n;
  m->from_at = offset(v, v->from);
  m->from_n = (uint8_t)v->from.n;
  m->seqno_at = offset(v, v->seqno);
  m->seqno_n = (uint8_t)v->seqno.n;
  m->topic_at = offset(v, v->topic);
  m->topic_n = (uint16_t)v->topic.n;
  return true;
}

size_t msub__message_id(const msub__topic *t, const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  if (t->policy && t->policy->message_id) {
    size_t n = t->policy->message_id(m, out);
    return n > MSUB_MAX_ID ? 0 : n;
  }
  size_t n = (size_t)m->from_n + m->seqno_n;
  if (n > MSUB_MAX_ID) return 0;
  if (m->from_n) memcpy(out, m->wire + m->from_at, m->from_n);
  if (m->seqno_n) memcpy(out + m->from_n, m->wire + m->seqno_at, m->seqno_n);
  return n;
}

static size_t msg_bytes(const msub_msg *m) { return sizeof *m + m->wire_n + m->id_n; }

const msub_msg *msub__msg_new(msub_shared *sh, const msub_msg_view *v, uint32_t name, const void *id_fn, msub_bytes id) {
  msub_msg head;
  if (!msub__msg_borrow(&head, v, name) || id.n > MSUB_MAX_ID) return NULL;
  head.id_n = (uint8_t)id.n;
  head.id_fn = id_fn;
  head.borrowed = false;
  msub_msg *m = msub__alloc(&sh->mem, msg_bytes(&head));
  if (!m) return NULL;
  uint8_t *wire = (uint8_t *)(m + 1);
  head.wire = wire;
  *m = head;
  if (v->raw.n) memcpy(wire, v->raw.p, v->raw.n);
  if (id.n) memcpy(wire + v->raw.n, id.p, id.n);
  msub__intern_ref(&sh->names, name);
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

/* One block: the head, the entries, the encoded fields. Ids and peer exchange are not kept as views: nobody sends them yet through here. */
static size_t ctl_bytes(const msub_ctl *c) { return sizeof *c + c->n * sizeof *c->e + c->wire_n; }

const msub_ctl *msub__ctl_new(msub_shared *sh, const msub_ctl_entry *e, size_t n) {
  msub_bytes names[MSUB__SEND_SUBSCRIPTIONS];
  if (n > MSUB__SEND_SUBSCRIPTIONS) return NULL;
  for (size_t i = 0; i < n; i++) names[i] = msub__intern_bytes(&sh->names, e[i].topic_name);
  msub_ctl head = { .refs = 1, .n = (uint32_t)n };
  head.wire_n = (uint32_t)msub_ctl_encode(e, names, n, NULL, 0);
  msub_ctl *c = msub__alloc(&sh->mem, ctl_bytes(&head));
  if (!c) return NULL;
  msub_ctl_entry *entries = (msub_ctl_entry *)(void *)(c + 1);
  uint8_t *wire = (uint8_t *)(entries + n);
  memcpy(entries, e, n * sizeof *e);
  msub_ctl_encode(e, names, n, wire, head.wire_n);
  head.e = entries;
  head.wire = wire;
  *c = head;
  for (size_t i = 0; i < n; i++)
    if (e[i].topic_name) msub__intern_ref(&sh->names, e[i].topic_name);
  sh->controls++;
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
  for (size_t i = 0; i < c->n; i++) msub__intern_drop(&sh->names, &sh->mem, &sh->key, c->e[i].topic_name);
  sh->controls--;
  msub__free(&sh->mem, (void *)(uintptr_t)c, ctl_bytes(c));
}
