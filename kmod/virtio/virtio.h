/* SPDX-License-Identifier: GPL-2.0-only */
/* The devices of kmod/virtio/ as the module that is loaded and unloaded sees them. */
#ifndef LM_VIRTIO_H
#define LM_VIRTIO_H

int lm_blk_setup(void);
void lm_blk_teardown(void);

#endif
