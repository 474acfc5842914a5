"""Words of a question that say nothing about its matter, in English and German, question words among them."""

from __future__ import annotations

_ENGLISH = """
a about after again all also am an and any are as at be because been before being below between both but by can
cannot could did do does doing don done down during each either else ever few for from further get gets getting give
given go goes had has have having he her here hers him his how however i if in into is isn it its itself just let
like make makes many may me might mine more most much must my need needs neither no nor not now of off often on once
one only or other our ours out over own please possible quite rather really s same say shall she should show so some
such t tell than that the their theirs them then there therefore these they thing things this those though through
thus to too under until up upon us use used uses using very want wants was way we well were what whatever when where
whether which while who whom whose why will with within without won would yes yet you your yours
"""
_GERMAN = """
ab aber alle allem allen aller alles als ander andere anderen auch auf aus bei beim bin bis bist bitte da damit dann
das dass dein deine dem den denn der des dessen deren die dies diese diesem diesen dieser dieses doch dort du durch
ein eine einem einen einer eines er es etwas euch euer für gegen gibt hab habe haben hat hatte hier hinter ich ihm
ihn ihnen ihr ihre ihrem ihren im immer ins ist ja jede jedem jeden jeder jedes kann kannst kein keine keinem keinen
keiner können könnte machen man mein meine mich mir mit muss müssen nach nicht nichts noch nun nur ob oder ohne sehr
sein seine seinem seinen seiner sich sie sind solche soll sollte sonst über um und uns unser unter viel vom von vor
wann war waren warum weil welche welchem welchen welcher welches wem wen wenn wer werden weshalb wessen wie wieder
wieso wir wird wo woher wohin wozu wurde wurden während zu zum zur zwar zwischen
"""
STOP_WORDS = frozenset(_ENGLISH.split()) | frozenset(_GERMAN.split())
