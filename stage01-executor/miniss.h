/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The stage's whole public face: include this, link libminiss.a.
 */
#pragma once

#include "async.h"
#include "combine.h"
#include "executor.h"
#include "sync.h"
