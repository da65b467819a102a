"""Captioners; pictures take 32 x 32 pixels."""

from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
    BlipProcessor,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GPT2Config,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    OPTConfig,
    T5Config,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessorPil,
)

from tests.factories.folders import GPT2_SHAPE, OPT_SHAPE, SHAPE, save
from tests.factories.tokenizers import byte_level_tokenizer, opt_tokenizer, unigram_tokenizer
from tests.factories.zoo_tokenizers import tokenizer

VISION = {**SHAPE, "image_size": 32, "patch_size": 16}
SIZE = {"height": 32, "width": 32}
QUERIES = 4
CHAT = (
    "{% for m in messages %}{{ m.role }}: {% for c in m.content %}"
    "{{ '<image> ' if c.type == 'image' else c.text }}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def _save(folder, module_class, config, words, processor):
    save(folder, module_class, config, words)
    # Afterwards: some processors add tokens of their own to the tokenizer.
    processor.save_pretrained(folder)
    return str(folder)


def blip(folder):
    """BLIP: its begin token is a row of the network that the tokenizer does not know."""
    words = tokenizer("pieces")
    text = {
        **SHAPE,
        "vocab_size": len(words) + 2,
        "max_position_embeddings": 48,
        "bos_token_id": len(words),
        "eos_token_id": 2,
        "sep_token_id": words.sep_token_id,
        "pad_token_id": words.pad_token_id,
    }
    config = BlipConfig(text_config=text, vision_config=VISION, projection_dim=16)
    processor = BlipProcessor(BlipImageProcessorPil(size=SIZE), words)
    return _save(folder, BlipForConditionalGeneration, config, words, processor)


def _blip2(folder, text, words):
    processor = Blip2Processor(BlipImageProcessorPil(size=SIZE), words, num_query_tokens=QUERIES)
    config = Blip2Config(
        vision_config=VISION,
        qformer_config={**SHAPE, "vocab_size": 20, "encoder_hidden_size": 16},
        text_config=text,
        num_query_tokens=QUERIES,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    return _save(folder, Blip2ForConditionalGeneration, config, words, processor)


def blip2_opt(folder):
    """BLIP-2 with OPT, which goes on from the text."""
    words = opt_tokenizer()
    text = OPTConfig(
        vocab_size=len(words) + 7,
        **OPT_SHAPE,
        max_position_embeddings=64,
        bos_token_id=2,
        eos_token_id=2,
        pad_token_id=1,
    )
    return _blip2(folder, text, words)


def blip2_t5(folder):
    """BLIP-2 with T5, which answers the text; there is no begin token."""
    words = unigram_tokenizer(pad_token="<pad>")
    text = T5Config(
        vocab_size=len(words) + 9,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        pad_token_id=words.pad_token_id,
        eos_token_id=words.eos_token_id,
        decoder_start_token_id=words.pad_token_id,
    )
    return _blip2(folder, text, words)


def vit_gpt2(folder):
    """An encoder and a decoder that have no processor together."""
    words = tokenizer("byte")
    decoder = GPT2Config(
        **GPT2_SHAPE,
        vocab_size=len(words),
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(**VISION), decoder)
    config.decoder_start_token_id = words.bos_token_id
    config.pad_token_id = words.eos_token_id
    processor = ViTImageProcessorPil(size=SIZE)
    return _save(folder, VisionEncoderDecoderModel, config, words, processor)


def llava(folder):
    """A chat model that sees; its template asks it."""
    words = byte_level_tokenizer(
        ("<s>", "</s>", "<image>"),
        template="<s> $A",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
    )
    text = LlamaConfig(
        **SHAPE,
        vocab_size=len(words),
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=text,
        image_token_index=2,
        vision_feature_layer=-1,
    )
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size=SIZE, crop_size=SIZE),
        words,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    return _save(folder, LlavaForConditionalGeneration, config, words, processor)


CAPTIONERS = {
    "blip": blip,
    "blip2_opt": blip2_opt,
    "blip2_t5": blip2_t5,
    "vit_gpt2": vit_gpt2,
    "llava": llava,
}
