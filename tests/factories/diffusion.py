"""A folder like a Stable Diffusion repository: tiny random networks, an old sampler's settings."""

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from tests.factories.folders import SHAPE
from tests.factories.tokenizers import clip_tokenizer

PICTURE = 16
"""Side of its pictures, twice that of its latents."""


def stable_diffusion(folder, prediction="epsilon", pad=None, **text):
    """A pipeline without safety checker; pictures are 16, latents 8 pixels wide."""
    tokenizer = clip_tokenizer(pad)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = CLIPTextConfig(
            **SHAPE,
            vocab_size=len(tokenizer),
            max_position_embeddings=77,
            bos_token_id=0,
            eos_token_id=2,
            **text,
        )
        unet = UNet2DConditionModel(
            sample_size=PICTURE // 2,
            layers_per_block=1,
            block_out_channels=(8, 8),
            norm_num_groups=2,
            attention_head_dim=4,
            cross_attention_dim=16,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )
        vae = AutoencoderKL(
            block_out_channels=(4, 4),
            norm_num_groups=2,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
        )
        text_encoder = CLIPTextModel(config)
        for network in (text_encoder, unet, vae):
            # Larger than usual, so that outputs differ by the input.
            for weight in network.parameters():
                weight.data += 0.1 * torch.randn_like(weight)
    scheduler = PNDMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        skip_prk_steps=True,
        steps_offset=1,
        prediction_type=prediction,
    )
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder
