"""Tiny random pipelines of the common families, made here: nothing is downloaded."""

import copy
import string
import warnings
from collections.abc import Callable
from typing import Any

import torch
from diffusers.loaders import PeftAdapterMixin
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer

from sfbench.diffusers.experts import find_denoiser

LENGTH = 16  # tokens of a prompt
PROMPT = "a cat"
ADAPTERS = ("first", "second")


def tokenizer() -> Any:
    from transformers import CLIPTokenizer

    letters = [*string.ascii_lowercase, *(letter + "</w>" for letter in string.ascii_lowercase)]
    words = [*letters, "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=LENGTH)


def clip(seed: int, projection: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "projection_dim": 16, "num_attention_heads": 2}
    config = CLIPTextConfig(
        **sizes, num_hidden_layers=2, vocab_size=54, max_position_embeddings=LENGTH, bos_token_id=52, eos_token_id=53
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def t5(seed: int) -> Any:
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(seed)
    sizes = {"vocab_size": 54, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    return T5EncoderModel(T5Config(**sizes)).eval()


def vae(seed: int, channels: int = 4, **options: Any) -> Any:
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels,
        norm_num_groups=4,
        **options,
    ).eval()


def unet(seed: int, **options: Any) -> Any:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    return UNet2DConditionModel(
        block_out_channels=(8,),
        layers_per_block=1,
        sample_size=8,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        mid_block_type=None,
        norm_num_groups=4,
        attention_head_dim=8,
        **{"cross_attention_dim": 16} | options,
    ).eval()


def sd15(seed: int = 0) -> Any:
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    scheduler = PNDMScheduler(skip_prk_steps=True, steps_offset=1, **betas)
    return StableDiffusionPipeline(
        vae=vae(0),
        text_encoder=clip(0),
        tokenizer=tokenizer(),
        unet=unet(seed),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl(seed: int = 0) -> Any:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    network = unet(
        seed,
        cross_attention_dim=32,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
        use_linear_projection=True,
    )
    return StableDiffusionXLPipeline(
        vae=vae(0),
        text_encoder=clip(0),
        text_encoder_2=clip(1, projection=True),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        unet=network,
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
        add_watermarker=False,
    )


def modular(seed: int = 0) -> Any:
    from diffusers.modular_pipelines.stable_diffusion_xl import StableDiffusionXLAutoBlocks

    classic = sdxl(seed)
    pipe = StableDiffusionXLAutoBlocks().init_pipeline()
    names = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "scheduler")
    pipe.update_components(**{name: getattr(classic, name) for name in names}, force_zeros_for_empty_prompt=True)
    return pipe


def sd3(seed: int = 0) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    torch.manual_seed(seed)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_projection_dim=16,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        out_channels=4,
    ).eval()
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(0, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=clip(0, projection=True),
        text_encoder_2=clip(1, projection=True),
        text_encoder_3=None,
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        tokenizer_3=None,
    )


def flux(seed: int = 0, guidance: bool = False) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    torch.manual_seed(seed)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=[4, 4, 8],
        guidance_embeds=guidance,
    ).eval()
    return FluxPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae(0, channels=1, shift_factor=0.0, scaling_factor=1.0, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip(0),
        text_encoder_2=t5(0),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
    )


def dit(seed: int = 0) -> Any:
    from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel

    torch.manual_seed(seed)
    transformer = DiTTransformer2DModel(
        sample_size=8,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        num_embeds_ada_norm=1000,
        norm_elementwise_affine=False,
    ).eval()
    return DiTPipeline(transformer=transformer, vae=vae(0), scheduler=DDIMScheduler(clip_sample=False))


def ddpm(seed: int = 0) -> Any:
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    torch.manual_seed(seed)
    network = UNet2DModel(
        sample_size=8,
        block_out_channels=(8,),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",),
        attention_head_dim=8,
    ).eval()
    return DDPMPipeline(unet=network, scheduler=DDPMScheduler(clip_sample=False))


BUILDERS: dict[str, Callable[[int], Any]] = {
    "sd15": sd15,
    "sdxl": sdxl,
    "modular": modular,
    "sd3": sd3,
    "flux": flux,
    "dit": dit,
    "ddpm": ddpm,
}


def build(family: str, seed: int = 0) -> Any:
    """A silent pipeline of random weights."""
    pipe = BUILDERS[family](seed)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def denoiser(pipe: Any) -> Any:
    return getattr(pipe, "unet", None) or pipe.transformer


def add_adapter(module: Any, name: str, seed: int, scale: float = 2.0, **options: Any) -> None:
    """A random adapter of the attention layers (all linear layers elsewhere), large enough to be seen."""
    torch.manual_seed(seed)
    targets = options.pop("target_modules", ["to_q", "to_k", "to_v", "to_out.0"])
    config = LoraConfig(r=2, lora_alpha=4, target_modules=targets, init_lora_weights=False, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft wonders at a second adapter
        if isinstance(module, PeftAdapterMixin):
            module.add_adapter(config, adapter_name=name)
        else:
            inject_adapter_in_model(config, module, name)
    for layer in module.modules():
        if isinstance(layer, BaseTunerLayer):
            layer.set_scale(name, scale)


def activate(module: Any, name: str) -> None:
    """Make one adapter active as peft does it."""
    for layer in module.modules():
        if isinstance(layer, BaseTunerLayer):
            layer.set_adapter(name)


_ADAPTED: dict[str, Any] = {}  # networks with adapters, whose copies are cheaper than adapters


def with_adapters(family: str, **options: Any) -> Any:
    pipe, key = build(family), f"{family} {options}"
    name, network = find_denoiser(pipe)
    if key not in _ADAPTED:
        for i, adapter in enumerate(ADAPTERS):
            add_adapter(network, adapter, 10 + i, **options)
        _ADAPTED[key] = network
    copied = copy.deepcopy(_ADAPTED[key])
    if hasattr(pipe, "update_components"):
        pipe.update_components(**{name: copied})
    else:
        setattr(pipe, name, copied)
    return pipe


def draw(pipe: Any, seed: int = 0, n: int = 1, steps: int = 2, **options: Any) -> torch.Tensor:
    """Images as a tensor (n, ...), without the last cut to [0, 1] where the pipeline allows."""
    generator = torch.Generator().manual_seed(seed)
    common = {"generator": generator, "num_inference_steps": steps} | options
    name = type(pipe).__name__
    if name == "DDPMPipeline":
        return pipe(batch_size=n, output_type="pt", **common).images
    if name == "DiTPipeline":
        return pipe(class_labels=[1] * n, output_type="pt", **common).images
    if "Modular" in name:
        return pipe(
            prompt=PROMPT, height=16, width=16, num_images_per_prompt=n, output_type="latent", output="images", **common
        )
    return pipe(PROMPT, height=16, width=16, num_images_per_prompt=n, output_type="latent", **common).images
