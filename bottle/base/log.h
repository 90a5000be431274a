/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event on stderr: "<3>bottled: text" (the sd-daemon priority
 * prefix, stripped when stderr is a terminal). Only process code logs.
 * What a less trusted peer can trigger goes through log_peer, which allows
 * LOG_PEER_PER_MINUTE lines a minute and counts the rest.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/cleanup.h"

#define LOG_PEER_PER_MINUTE 60

void log_init(const char *process, int verbose);
void log_error(const char *fmt, ...) _printf_(1, 2);
void log_warn(const char *fmt, ...) _printf_(1, 2);
void log_info(const char *fmt, ...) _printf_(1, 2);
void log_debug(const char *fmt, ...) _printf_(1, 2);
void log_peer(const char *fmt, ...) _printf_(1, 2);

/* Logs and exits with 1; at start-up, and when a jailed child breaks its protocol. */
void fatal(const char *fmt, ...) _printf_(1, 2) __attribute__((noreturn));

#endif
