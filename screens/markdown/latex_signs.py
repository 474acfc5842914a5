"""The signs that LaTeX has names for, and the letters that exist raised or lowered."""

from __future__ import annotations

_NAMED = r"""
alpha α   beta β   gamma γ   delta δ   epsilon ϵ   varepsilon ε   zeta ζ   eta η   theta θ   vartheta ϑ   iota ι
kappa κ   lambda λ   mu μ   nu ν   xi ξ   pi π   varpi ϖ   rho ρ   varrho ϱ   sigma σ   varsigma ς   tau τ
upsilon υ   phi ϕ   varphi φ   chi χ   psi ψ   omega ω   Gamma Γ   Delta Δ   Theta Θ   Lambda Λ   Xi Ξ   Pi Π
Sigma Σ   Upsilon Υ   Phi Φ   Psi Ψ   Omega Ω   times ×   div ÷   cdot ·   pm ±   mp ∓   ast ∗   star ⋆   circ ∘
bullet •   oplus ⊕   ominus ⊖   otimes ⊗   odot ⊙   cap ∩   cup ∪   sqcap ⊓   sqcup ⊔   vee ∨   lor ∨   wedge ∧
land ∧   setminus ∖   wr ≀   leq ≤   le ≤   geq ≥   ge ≥   neq ≠   ne ≠   equiv ≡   sim ∼   simeq ≃   approx ≈
cong ≅   propto ∝   ll ≪   gg ≫   prec ≺   succ ≻   preceq ⪯   succeq ⪰   subset ⊂   supset ⊃   subseteq ⊆
supseteq ⊇   nsubseteq ⊈   in ∈   ni ∋   notin ∉   mid ∣   parallel ∥   perp ⊥   vdash ⊢   models ⊨   dashv ⊣
asymp ≍   doteq ≐   to →   gets ←   rightarrow →   leftarrow ←   leftrightarrow ↔   Rightarrow ⇒   Leftarrow ⇐
Leftrightarrow ⇔   implies ⟹   iff ⟺   mapsto ↦   uparrow ↑   downarrow ↓   Uparrow ⇑   Downarrow ⇓
longrightarrow ⟶   longleftarrow ⟵   Longrightarrow ⟹   hookrightarrow ↪   rightharpoonup ⇀   nearrow ↗
searrow ↘   forall ∀   exists ∃   nexists ∄   neg ¬   lnot ¬   emptyset ∅   varnothing ∅   infty ∞   partial ∂
nabla ∇   sum ∑   prod ∏   coprod ∐   int ∫   iint ∬   iiint ∭   oint ∮   bigcup ⋃   bigcap ⋂   bigvee ⋁
bigwedge ⋀   bigoplus ⨁   bigotimes ⨂   surd √   angle ∠   triangle △   square □   Box □   diamond ⋄
therefore ∴   because ∵   ldots …   dots …   cdots ⋯   vdots ⋮   ddots ⋱   dotsc …   dotsb ⋯   hbar ℏ   ell ℓ
Re ℜ   Im ℑ   aleph ℵ   wp ℘   prime ′   degree °   dagger †   ddagger ‡   checkmark ✓   top ⊤   bot ⊥
lfloor ⌊   rfloor ⌋   lceil ⌈   rceil ⌉   langle ⟨   rangle ⟩   lVert ‖   rVert ‖   Vert ‖   vert |   lbrace {
rbrace }   lbrack [   rbrack ]   backslash \   imath ı   jmath ȷ   copyright ©   pounds £   euro €
rightleftharpoons ⇌   blacksquare ■
"""
_RAISED = """
0⁰ 1¹ 2² 3³ 4⁴ 5⁵ 6⁶ 7⁷ 8⁸ 9⁹ +⁺ -⁻ =⁼ (⁽ )⁾ aᵃ bᵇ cᶜ dᵈ eᵉ fᶠ gᵍ hʰ iⁱ jʲ kᵏ lˡ mᵐ nⁿ oᵒ pᵖ rʳ sˢ tᵗ uᵘ vᵛ wʷ
xˣ yʸ zᶻ Aᴬ Bᴮ Dᴰ Eᴱ Gᴳ Hᴴ Iᴵ Jᴶ Kᴷ Lᴸ Mᴹ Nᴺ Oᴼ Pᴾ Rᴿ Tᵀ Uᵁ Vⱽ Wᵂ αᵅ βᵝ γᵞ δᵟ θᶿ φᵠ χᵡ ′′ ∗*
"""
_LOWERED = """
0₀ 1₁ 2₂ 3₃ 4₄ 5₅ 6₆ 7₇ 8₈ 9₉ +₊ -₋ =₌ (₍ )₎ aₐ eₑ hₕ iᵢ jⱼ kₖ lₗ mₘ nₙ oₒ pₚ rᵣ sₛ tₜ uᵤ vᵥ xₓ βᵦ γᵧ ρᵨ φᵩ χᵪ
"""


def _pairs(words: list[str]) -> dict[str, str]:
    return dict(zip(words[::2], words[1::2], strict=True))


SYMBOLS = _pairs(_NAMED.split())
RAISED = {" ": "", **{pair[0]: pair[1] for pair in _RAISED.split()}}
LOWERED = {" ": "", **{pair[0]: pair[1] for pair in _LOWERED.split()}}
