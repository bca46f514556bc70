/* The configuration file of "meshsub node": the options of the command line under their keys, in YAML. docs/cli.md has all keys. */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H
#include "cli/options.h"

typedef struct config config;

/* Reads and checks the file against its schema. NULL: the error is said, with line, key, rule and what to write. */
config *config_read(const command *c, const char *file);
void config_free(config *k); /* NULL is fine */

/* Sets the options as far as the file says them; what the command line says is read after it and wins. The values must not outlive the
 * configuration. -1, or an exit code with the error said. */
int config_apply(const config *k, const command *c, const option_row *rows);

/* The file's own list for an option ("--topic"), without what the command line adds. */
text_list config_list(const config *k, const char *option);

/* Prints what holds now, file and command line together, as a file that says the same. */
void config_print(const option_row *rows);

/* Tells each key (not one of `but`, NULL-terminated options) whose value differs between two files. */
void config_compare(const config *a, const config *b, const char *const *but, void (*differs)(void *ud, const char *key, unsigned line), void *ud);
const char *config_file(const config *k);

#endif
