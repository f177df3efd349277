/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The stage's whole public face: include this, link libminiss.a (from stage 5
 * on with -luring, where that is installed). Compile with -std=c11 -pthread and
 * -D_GNU_SOURCE or -D_POSIX_C_SOURCE=200809L.
 */
#pragma once

#include "async.h"
#include "combine.h"
#include "executor.h"
#include "sync.h"
