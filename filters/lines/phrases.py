"""The phrases that the line filter looks for, as regular expressions of RE2.

RefinedWeb (Penedo et al. 2023, appendix G.2) looks for phrases at a line's beginning ("sign-in"), at its end ("Read
more...") and anywhere in it ("items in cart"), and for counters ("3 likes"). These examples are published, its lists
are not: all the other phrases here are ours. C4's words are those of its authors' code (`POLICY_SUBSTRINGS`).
"""

from __future__ import annotations

JAVASCRIPT = "(?i)javascript"
POLICY = "(?i)terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies"
C4_WORDS = f"{JAVASCRIPT}|{POLICY.removeprefix('(?i)')}"

_COUNTED = (
    "likes?|comments?|shares?|views?|reply|replies|votes?|points?|followers?|following|retweets?|reviews?|ratings?|"
    "answers?|posts?|downloads?|reads?|plays?|subscribers?|members?|items?|results?|claps?|stars?|people like this"
)
COUNTER = rf"(?i)^\W*(?:\d[\d.,]*\s?[km]?\+?\s+(?:{_COUNTED})|(?:{_COUNTED})\s*[:(]?\s*\d[\d.,]*\s?[km]?\+?\s*\)?)\W*$"

_BEGINS = (
    "sign[ -]?in|log[ -]?in|sign[ -]?up|log[ -]?out|sign[ -]?out|register (?:now|here|for free)|skip to|back to top|"
    "share (?:this|on|via)|follow us|like us on|subscribe (?:to|now)|click here|tap to|"
    "add to (?:cart|wish ?list|basket)|"
    "leave a (?:comment|reply)|post a comment|all rights reserved|copyright ©|© ?(?:copyright )?\\d{4}|"
    "filed under|posted (?:by|on|in)|tagged (?:with|in)?:?|advertisement|sponsored|previous (?:post|article)|"
    "next (?:post|article)|related (?:posts|articles|stories)|print this|email this|jump to"
)
_ENDS = (
    "read more|continue reading|learn more|see more|show more|view more|load more|find out more|view all|see all|"
    "show all|more info|read full (?:story|article)|click here|sign up|log in|sign in"
)
_ANYWHERE = (
    "items? in (?:your )?(?:shopping )?(?:cart|basket|bag)|all rights reserved|enable cookies|"
    "forgot (?:your )?password|powered by wordpress|your shopping cart|accept (?:all )?cookies"
)
BOILERPLATE = rf"(?i)^\W*(?:{_BEGINS})(?:\W|$)|(?:^|\W)(?:{_ENDS})\W*$|(?:^|\W)(?:{_ANYWHERE})(?:\W|$)"

_ZH_COUNTED = "阅读|浏览|点击|评论|点赞|收藏|转发|分享|回复|查看|人气|播放|下载|关注|粉丝|赞|跟帖"
_ZH_NUMBER = r"\d[\d.,]*\s?[万千亿wWkK]?\+?"
ZH_COUNTER = (
    rf"^[^\pL\pN]*(?:(?:{_ZH_COUNTED})(?:量|数|次数|人数)?\s*[:：(（]?\s*{_ZH_NUMBER}\s*[次人条个]?|"
    rf"{_ZH_NUMBER}\s*[次人条个]?(?:{_ZH_COUNTED})过?)[^\pL\pN]*$"
)
_ZH_BEGINS = (
    "登录|登陆|注册|免费注册|忘记密码|返回(?:首页|顶部|列表)|回到顶部|分享到|分享至|扫一扫|扫码|关注我们|加入收藏|"
    "设为首页|上一篇|下一篇|上一页|下一页|责任编辑|相关(?:阅读|文章|推荐|新闻|链接)|热门(?:文章|推荐|评论)|猜你喜欢|发表评论|"
    "我要评论|网友评论|打印本页|关闭窗口|联系我们|关于我们|网站地图|友情链接|客户端下载|下载APP|立即(?:下载|购买|注册)|"
    "加入购物车"
)
_ZH_ENDS = "阅读全文|查看全文|查看更多|点击查看|更多详情|展开全文|显示全部|查看原文|了解更多"
_ZH_END_WORDS = "更多|登录|注册"
"""At a line's end and with no letter before."""
_ZH_ANYWHERE = "版权所有|保留所有权利|未经授权|京ICP|ICP备|公网安备|购物车"
ZH_BOILERPLATE = (
    rf"(?i)^[^\pL\pN]*(?:{_ZH_BEGINS})(?:[^\pL\pN]|$)|(?:{_ZH_ENDS}|(?:^|[^\pL\pN])(?:{_ZH_END_WORDS}))[^\pL\pN]*$|"
    rf"{_ZH_ANYWHERE}"
)
