"""Models of texts and pictures: CLIPs, SigLIPs and a dual encoder."""

from pathlib import Path

from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    Siglip2Config,
    Siglip2ImageProcessorPil,
    Siglip2Model,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from tests.factories.classifiers import bert_config
from tests.factories.folders import BLOCKS, SHAPE, edit_json, save
from tests.factories.tokenizers import bert_tokenizer, clip_tokenizer, unigram_tokenizer
from tests.factories.vocabularies import GEMMA_SPECIAL, sentence_piece


def _clip(folder, tokenizer, **text):
    config = CLIPConfig(
        text_config=CLIPTextConfig(
            **SHAPE,
            vocab_size=len(tokenizer),
            max_position_embeddings=77,
            projection_dim=12,
            **text,
        ).to_dict(),
        vision_config=_vision().to_dict(),
        projection_dim=12,
    )
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    return save(folder, CLIPModel, config, tokenizer)


def _vision():
    picture = {"image_size": 32, "patch_size": 16, "projection_dim": 12}
    return CLIPVisionConfig(**{**SHAPE, "num_hidden_layers": 1}, **picture)


def clip(folder):
    """A CLIP whose configuration names the tokenizer's begin and end tokens."""
    tokenizer = clip_tokenizer()
    return _clip(
        folder,
        tokenizer,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def old_clip(folder):
    """OpenAI's CLIP: the configuration says 0 and 2, whatever the tokenizer; same weights."""
    return _clip(folder, clip_tokenizer(), bos_token_id=0, eos_token_id=2, pad_token_id=1)


def open_clip(folder):
    """An export of OpenCLIP: another token than the end token pads; same weights."""
    return _clip(folder, clip_tokenizer("!"), bos_token_id=0, eos_token_id=2, pad_token_id=1)


SIGLIP_LENGTH = 48


def siglip(folder, *, mask=False):
    """SigLIP: no causal mask, trained padded to its full length.

    Args:
        folder: Where to save it.
        mask: Whether its tokenizer offers an attention mask, which the network must not get.
    """
    tokenizer = unigram_tokenizer(
        pad_token="</s>",
        model_max_length=SIGLIP_LENGTH,
        model_input_names=["input_ids", "attention_mask"] if mask else ["input_ids"],
    )
    config = SiglipConfig(
        text_config={
            **BLOCKS,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": SIGLIP_LENGTH,
            "projection_size": 16,
        },
        vision_config={**BLOCKS, "num_hidden_layers": 1, "image_size": 32, "patch_size": 16},
    )
    save(folder, SiglipModel, config, tokenizer)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    if not mask:
        # The hub's files name the slow class, which has no character offsets.
        edit_json(Path(folder) / "tokenizer_config.json", tokenizer_class="SiglipTokenizer")
    return Path(folder)


def dual_encoder(folder):
    """A VisionTextDualEncoder of a CLIP vision tower and a BERT."""
    tokenizer = bert_tokenizer()
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        _vision(), bert_config(tokenizer), projection_dim=12
    )
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    return save(folder, VisionTextDualEncoderModel, config, tokenizer)


CLIPS = {
    "clip": clip,
    "old_clip": old_clip,
    "open_clip": open_clip,
    "siglip": siglip,
    "dual_encoder": dual_encoder,
}


def _siglip2(folder, module_class, config_class, vision, processor):
    vocab, merges = sentence_piece(GEMMA_SPECIAL)
    tokenizer = Siglip2Tokenizer(
        vocab=vocab, merges=merges, add_eos_token=True, add_bos_token=False, padding_side="right"
    )
    text = {**BLOCKS, "vocab_size": len(tokenizer), "projection_size": 16}
    config = config_class(text_config=text, vision_config={**BLOCKS, "patch_size": 16, **vision})
    folder = save(folder, module_class, config, tokenizer)
    processor.save_pretrained(folder)
    # The hub's files name this class.
    edit_json(folder / "tokenizer_config.json", tokenizer_class="GemmaTokenizer")
    return folder


def siglip2(folder):
    """SigLIP 2 of fixed size: padded to 64 with another token than the end token."""
    processor = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    return _siglip2(folder, SiglipModel, SiglipConfig, {"image_size": 32}, processor)


def siglip2_flexible(folder):
    """SigLIP 2 of flexible size: its processor gives patches, a mask and their layout."""
    processor = Siglip2ImageProcessorPil(patch_size=16, max_num_patches=16)
    return _siglip2(folder, Siglip2Model, Siglip2Config, {"num_patches": 16}, processor)


SIGLIPS2 = {"siglip2": siglip2, "siglip2_flexible": siglip2_flexible}
