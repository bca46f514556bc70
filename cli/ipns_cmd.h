/* The subcommands of "meshsub ipns" that ipns.c dispatches to; argv[0] is the last word of the subcommand. */
#ifndef CLI_IPNS_CMD_H
#define CLI_IPNS_CMD_H
int ipns_cmd_publish(int argc, char **argv);
int ipns_cmd_resolve(int argc, char **argv);
int ipns_cmd_follow(int argc, char **argv);
int ipns_cmd_keep(int argc, char **argv);
int ipns_cmd_key(int argc, char **argv);
int cmd_ipns_serve(int argc, char **argv); /* run.c */
#endif
