/* lz.h: what messages are compressed with: LZNT1, LZ77, LZ77+Huffman, LZ4 */
#ifndef SMB_LZ_H
#define SMB_LZ_H

#include <stddef.h>
#include <stdint.h>

/*
 * Each writes what in[0..n) stands for, max bytes of it at most, and says how many they are: fewer
 * than there should be where the input ends before, or is none of its kind. Nothing refers to bytes
 * that were not written here.
 */
size_t lz_nt1(const uint8_t *in, size_t n, uint8_t *out, size_t max);		/* [MS-XCA] 2.5 */
size_t lz_77(const uint8_t *in, size_t n, uint8_t *out, size_t max);		/* [MS-XCA] 2.4 */
size_t lz_77_huffman(const uint8_t *in, size_t n, uint8_t *out, size_t max);	/* [MS-XCA] 2.2 */
size_t lz_4(const uint8_t *in, size_t n, uint8_t *out, size_t max); /* its block format */

#endif
