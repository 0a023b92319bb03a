"""The literature behind what a study uses, by the short form in which registry entries name it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

REFERENCES: Mapping[str, str] = {
    "Andriushchenko et al. 2020": "M. Andriushchenko, F. Croce, N. Flammarion, M. Hein. Square Attack: a query-efficient "
    "black-box adversarial attack via random search. ECCV 2020.",
    "Athalye et al. 2018": "A. Athalye, N. Carlini, D. Wagner. Obfuscated gradients give a false sense of security. ICML 2018.",
    "Carlini et al. 2019": "N. Carlini et al. On evaluating adversarial robustness. arXiv:1902.06705, 2019.",
    "Carlini, Wagner 2017": "N. Carlini, D. Wagner. Towards evaluating the robustness of neural networks. IEEE S&P 2017.",
    "Croce, Hein 2020": "F. Croce, M. Hein. Reliable evaluation of adversarial robustness with an ensemble of diverse "
    "parameter-free attacks. ICML 2020.",
    "de Jorge et al. 2022": "P. de Jorge, A. Bibi, R. Volpi, A. Sanyal, P. H. S. Torr, G. Rogez, P. K. Dokania. Make some noise: "
    "reliable and efficient single-step adversarial training. NeurIPS 2022.",
    "Demšar 2006": "J. Demšar. Statistical comparisons of classifiers over multiple data sets. JMLR 7, 2006.",
    "Dong et al. 2018": "Y. Dong et al. Boosting adversarial attacks with momentum. CVPR 2018.",
    "Goodfellow et al. 2015": "I. Goodfellow, J. Shlens, C. Szegedy. Explaining and harnessing adversarial examples. ICLR 2015.",
    "Gowal et al. 2020": "S. Gowal, C. Qin, J. Uesato, T. Mann, P. Kohli. Uncovering the limits of adversarial training against "
    "norm-bounded adversarial examples. arXiv:2010.03593, 2020.",
    "Holm 1979": "S. Holm. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6, 1979.",
    "Izmailov et al. 2018": "P. Izmailov, D. Podoprikhin, T. Garipov, D. Vetrov, A. G. Wilson. Averaging weights leads to wider "
    "optima and better generalization. UAI 2018.",
    "Kurakin et al. 2017": "A. Kurakin, I. Goodfellow, S. Bengio. Adversarial examples in the physical world. ICLR workshop "
    "2017.",
    "Madry et al. 2018": "A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu. Towards deep learning models resistant to "
    "adversarial attacks. ICLR 2018.",
    "Moosavi-Dezfooli et al. 2016": "S.-M. Moosavi-Dezfooli, A. Fawzi, P. Frossard. DeepFool: a simple and accurate method to "
    "fool deep neural networks. CVPR 2016.",
    "Owen 2007": "A. B. Owen. The pigeonhole bootstrap. Annals of Applied Statistics 1, 2007.",
    "Pintor et al. 2021": "M. Pintor, F. Roli, W. Brendel, B. Biggio. Fast minimum-norm adversarial attacks through adaptive "
    "norm constraints. NeurIPS 2021.",
    "Polyak, Juditsky 1992": "B. T. Polyak, A. B. Juditsky. Acceleration of stochastic approximation by averaging. SIAM "
    "Journal on Control and Optimization 30, 1992.",
    "Rebuffi et al. 2021": "S.-A. Rebuffi, S. Gowal, D. A. Calian, F. Stimberg, O. Wiles, T. Mann. Data augmentation can improve "
    "robustness. NeurIPS 2021.",
    "Shafahi et al. 2019": "A. Shafahi et al. Adversarial training for free! NeurIPS 2019.",
    "Wong et al. 2020": "E. Wong, L. Rice, J. Z. Kolter. Fast is better than free: revisiting adversarial training. ICLR 2020.",
    "Zhang et al. 2019": "H. Zhang, Y. Yu, J. Jiao, E. Xing, L. El Ghaoui, M. Jordan. Theoretically principled trade-off between "
    "robustness and accuracy. ICML 2019.",
}
PAPER = (
    "The claims: Optimizing innate adversarial robustness on image recognition models in high risk scenarios "
    "(code: A-Ravioli/Adversarial-Attack-Impact-Reduction)."
)
_ALWAYS = ("Athalye et al. 2018", "Carlini et al. 2019", "Croce, Hein 2020", "Demšar 2006", "Holm 1979", "Owen 2007")
"""What every report rests on: trust checks, the worst case per sample, the statistics."""


def cited(sources: Iterable[str]) -> list[str]:
    """References for the sources of what a study uses, by author, then the paper whose claims are asked."""
    told = list(sources)
    return [
        *(whole for key, whole in REFERENCES.items() if key in _ALWAYS or any(key in source for source in told)),
        PAPER,
    ]
