/* meshsub/trace.h: the events of an engine as records: go-libp2p-pubsub's trace format, which the field's tools read, and lines of JSON.
 *
 *   static void on_trace(void *ud, msub_host *h, const msub_event *ev) {          (host.h; or a world's trace operation)
 *     uint8_t r[4096];
 *     size_t n = msub_trace_record(msub_host_engine(h), ev, false, r, sizeof r);
 *     if (n && n <= sizeof r) …                                                   (trace_file.h writes files)
 *   }
 *
 * Nothing is allocated, kept or changed; time and own peer id are the engine's. Inside the trace operation or not, but with an event
 * whose views are still good: that is, in the trace operation.
 *
 * Threads: the engine's.
 *
 * A record is a TraceEvent (pb/trace.proto of go-libp2p-pubsub v0.19, whose field numbers are kept: Join.topic is 1, Leave.topic is 2):
 *
 *   kind               type   fields                                   remarks
 *   PUBLISH … PRUNE    0…12   all that the format has                  an own message was received from our own peer id, as in the format
 *   –                  13     (sendRPCCompleted)                       never made: writing does not block here; but read
 *   WITHDRAW DEFER
 *   FAULT EXTENSION    –      no record, unless `all`
 *
 * ids of messages in a RECV_RPC come from a frame that nobody has looked at: the topic's message-id function runs once more for each of
 * them (author and sequence number for topics that nobody here knows). That is most of what tracing costs under an id that is a hash.
 *
 * reject.reason is the format's own text where it has one: "missing signature" (FORBIDDEN_FIELD on a topic that demands signatures),
 * "unexpected auth info" (FORBIDDEN_FIELD on others), "invalid signature", "self originated message", "validation failed" (REJECTED),
 * "validation ignored" (IGNORED, TIMEOUT), "validation throttled" (THROTTLED); else msub_reason_text(). */
#ifndef MESHSUB_TRACE_H
#define MESHSUB_TRACE_H
#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Encodes an event, without a length in front. Returns the bytes needed, 0: the format has no such event; when they are more than cap, what
 * stands in `out` means nothing. all: kinds that the format lacks come out too, as types from 64 on with fields from 64 on, for
 * msub_trace_json() and its LINES; put them into no file that others read, their decoders take an unknown type for type 0.
 * Length: of an RPC at most twice that of the RPC, and 160 bytes more for each of its messages. */
MSUB_API size_t msub_trace_record(const msub_engine *e, const msub_event *ev, bool all, uint8_t *out, size_t cap);

typedef enum msub_trace_style {
  MSUB_TRACE_TRACER, /* a line of go's JSONTracer: numbers as types, bytes in base64. Text that is no UTF-8 comes out with U+FFFD */
  MSUB_TRACE_LINES   /* our names, flat: {"ev":"graft","ns":…,"node":"12D3…","peer":"12D3…","topic":"news"}; ids in hex, topic_hex for a
                      * topic that is no UTF-8 */
} msub_trace_style;
/* A record as one line of JSON, without the newline. Returns the bytes needed, writes when cap suffices; 0: it is no record. Needs no engine: a
 * file of records can be read with it. Anything may be given: a record is at most 16 MiB, what is unknown in it is left out. */
MSUB_API size_t msub_trace_json(msub_bytes record, msub_trace_style style, char *out, size_t cap);

#ifdef __cplusplus
}
#endif
#endif
