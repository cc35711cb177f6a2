"""Photographs that public packages bring along as examples, and where they lie.

They are fetched to be looked at by a model, and never kept in this repository.
"""

from __future__ import annotations

from tools.quality.sources import Source

__all__ = ["IMAGENET", "OTHERS"]

IMAGENET = (
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_00_243.jpg"),
        "28b7b933c8028c6e20bf74a86a709eda42ce99f14c8742cb657cb386f08a4c9d",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_01_559.jpg"),
        "5f03b0c74dff01b5b4195d0beabcae2a625a406e6917957ab9c455b5b7dea6d6",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_02_438.jpg"),
        "ccef0734c1a65549c6cb5adb0f5d9b1c0b2e2104aba50a9e5f9202dc6d4532ed",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_03_990.jpg"),
        "c7f0b2f1e9ee39d8f900759e8983afa2e4a2d7de090060e8bb947f6e90cace5f",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_04_949.jpg"),
        "a7f62f3c1d214de4718c7253871ab38209283249e131faf65b8f2b7fdc970669",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_05_853.jpg"),
        "8a449436c61da867528b1f4efaf8ae832ab9c9201705eae0d3af1353fbdac131",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_06_609.jpg"),
        "fb061102a4e58b3ed942bb2a4f9542e1e1acdc8f225ef95498e93889290e192f",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_07_609.jpg"),
        "2c297ad1e5c4804a647e9b34bc02ee2fc348b05a4d49050d170fb61c948efa5c",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_08_915.jpg"),
        "c6a3411a3987799f0de45adc142f00ca412c3e14073c635e2adfae1f3913180c",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_09_455.jpg"),
        "ace3716b60ac5843269b270e17020e4f8138440cd30ef3487f7d6e54da9745a4",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_10_541.jpg"),
        "f325c71d9f4290ee45e99bd7ad42f4bffe513b1450ad21e7bd61c7cb137395d9",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_11_630.jpg"),
        "892dff58fc528fe63d2df0c783aa3eca2342637798578ce01763fbc0553eda01",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_12_741.jpg"),
        "6c256e17545b25bbf2e06cf6513ff48d049583569515ac4d4c3a52aea804a529",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_13_471.jpg"),
        "52ed0e738b90d27afcabc3e92c81ae637f160c2d9f75b93a65211005ab5dcd81",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_14_129.jpg"),
        "ad9371d813bf24b0365ee2f78f28c08718ee7c5975f060caa16c3f264e828139",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_15_99.jpg"),
        "4b588649cd835d4c65521727ebee03d9621baff1f54d3e8a53a26b53d983ec2e",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_16_251.jpg"),
        "ce3440a3b7beb6ca3009817504c44d39fa789e7c2f70a2eef7e2f9cc9a87b129",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_17_22.jpg"),
        "b432341845620e9cfd67d848c4783c32dd6eaddad45513866b17180d2b09fcf5",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_18_317.jpg"),
        "b9412f92f0b1c3faede45b55a44940977daa744f2040118d0538cf597fca785d",
    ),
    Source(
        *("foolbox", "3.3.4", "foolbox/data/imagenet_19_305.jpg"),
        "e1f58f00e2e47ce930d7ecab0e46a78316054f68c10d0742e87c1cc092324556",
    ),
)
"""Twenty photographs of ImageNet, which foolbox attacks in its examples."""

OTHERS = (
    Source(
        *("gradio", "6.31.0", "gradio/media_assets/images/cheetah.jpg"),
        "29b0090f5ec471dad0264abc20ecc3c80a0133a63a03d11df920e39a093fe6c8",
    ),
    Source(
        *("gradio", "6.31.0", "gradio/media_assets/images/cheetah1.jpg"),
        "35550bfbba996e59c242af00f6a14a9c0d055dfbc52ad069a1a4e8c1c39ca095",
    ),
    Source(
        *("gradio", "6.31.0", "gradio/media_assets/images/lion.jpg"),
        "4c45ece00075f152cb2e6cfd5f1dfd7dc8e83042264685b4f470026240eff3ef",
    ),
    Source(
        *("gradio", "6.31.0", "gradio/media_assets/images/tower.jpg"),
        "f57f96f7a71f89739d27ae8ffc09f73cd2f17415d16c94d42dcb0d571f4eb0ee",
    ),
    Source(
        *("gradio", "6.31.0", "gradio/test_data/cheetah2.jpg"),
        "6882e714aa43d60a429f704a5ddd3af4b3708f89701b3bcc9626121349853795",
    ),
    Source(
        *("imgaug", "0.4.0", "imgaug/quokka.jpg"),
        "bf1059d0f925e7d0c712cadf07a04ba4cfc98957d7be65d3a7d8ae0c464cd76e",
    ),
    Source(
        *("matplotlib", "3.11.2", "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    ),
    Source(
        *("scikit-image", "0.26.0", "skimage/data/astronaut.png"),
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    Source(
        *("scikit-image", "0.26.0", "skimage/data/chelsea.png"),
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    Source(
        *("scikit-image", "0.26.0", "skimage/data/coffee.png"),
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    Source(
        *("scikit-image", "0.26.0", "skimage/data/motorcycle_left.png"),
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    ),
    Source(
        *("scikit-image", "0.26.0", "skimage/data/rocket.jpg"),
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
    Source(
        *("scikit-learn", "1.9.1", "sklearn/datasets/images/china.jpg"),
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    ),
    Source(
        *("scikit-learn", "1.9.1", "sklearn/datasets/images/flower.jpg"),
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
)
"""Animals, people, things and buildings."""
