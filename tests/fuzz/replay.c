/* SPDX-License-Identifier: MIT */
/* Instead of libFuzzer: gives a target each file that is named, and up to 512
 * beginnings of it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory that ends where the input does. */
static void give(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size + !size);
    if (!copy) abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

int main(int argc, char **argv) {
    static uint8_t data[1 << 16];
    unsigned long count = 0;
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file) return perror(argv[i]), 1;
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        for (size_t part = 0; part < size; part += 1 + size / 512, count++)
            give(data, part);
        give(data, size);
        count++;
    }
    printf("%lu inputs\n", count);
    return 0;
}
