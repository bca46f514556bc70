/* YAML files (JSON is YAML, too), read whole and against a libcyaml schema. libcyaml says little about what is wrong in a file, so the
 * file is first walked along the same schema: unknown keys, keys that stand twice and values of the wrong kind are said with line and what
 * to write instead. What can be large is bounded: a file's bytes here, lists by their schema, nesting by the schema.
 * The prefix is doc_: libyaml, a shared library, has a yaml_free() of its own that a program's would replace. */
#ifndef CLI_YAML_H
#define CLI_YAML_H
#include "cli/text.h"
#include <cyaml/cyaml.h>

#define DOC_BYTES (1u << 20)

typedef struct doc_fault {
  unsigned line; /* 0: of the file as a whole */
  char text[320];
} doc_fault;
/* Fills in the fault; false. */
bool doc_wrong(doc_fault *f, unsigned line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The bytes of a file, of take(), with a NUL behind; at most DOC_BYTES. */
bool doc_slurp(const char *file, msub_bytes *out, doc_fault *f);

/* The keys of the map that stands behind a key of the document: what a schema needs to know of a map whose keys are names. `names` and each
 * name of take(). A name has 1 to 256 bytes and no NUL; at most `max` of them. No such map: none. */
bool doc_keys(msub_bytes text, const char *under, size_t max, char ***names, size_t *n, doc_fault *f);

/* Reads the one document. `schema`: a mapping with CYAML_FLAG_POINTER. *data: to be freed by doc_free(). */
bool doc_read(msub_bytes text, const cyaml_schema_value_t *schema, void **data, doc_fault *f);
/* The line of a value: path "mesh.heartbeat", or "listen" with the number of the item. 0: there is no such value. */
unsigned doc_line(msub_bytes text, const char *path, size_t item);
void doc_free(const cyaml_schema_value_t *schema, void *data);

#endif
